//! One picture a run: how the crowd finished, how safe the pieces were, who gave how much, where bytes came from.

use std::{error::Error, ops::Range};

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

use super::{Moment, Role, Run, Share};

/// Pixels of a picture.
const SIZE: (u32, u32) = (1_000, 680);
const INK: RGBColor = RGBColor(31, 41, 55);
const FAINT: RGBColor = RGBColor(156, 163, 175);
const GRID: RGBColor = RGBColor(229, 231, 235);
const BLUE: RGBColor = RGBColor(37, 99, 235);
const TEAL: RGBColor = RGBColor(13, 148, 136);
const AMBER: RGBColor = RGBColor(217, 119, 6);
const RED: RGBColor = RGBColor(220, 38, 38);
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn Error>>;

impl Role {
    fn color(self) -> RGBColor {
        match self {
            Self::Seed => AMBER,
            Self::Peer => BLUE,
            Self::Adversary => RED,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Seed => "seeds",
            Self::Peer => "peers",
            Self::Adversary => "adversaries",
        }
    }
}

/// Draws a run as SVG.
///
/// # Errors
/// If the library cannot; it writes into memory only.
pub(super) fn draw(run: &Run) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let report = &run.report;
        let title = format!(
            "{}: {} peers, {} pieces, {} MiB",
            report.scenario,
            report.peers,
            report.pieces,
            report.bytes >> 20
        );
        let result = format!(
            "last {:.1} s, half {:.1} s, bound {:.1} s: {:.2} times; seed sent {:.2} copies",
            report.last_seconds,
            report.p50_seconds,
            report.bound_seconds,
            report.ratio_last,
            report.seed_copies
        );
        root.draw(&Text::new(
            title,
            (24, 16),
            (FONT, 22).into_font().color(&INK),
        ))?;
        root.draw(&Text::new(
            result,
            (24, 44),
            (FONT, 14).into_font().color(&FAINT),
        ))?;
        let (_, body) = root.split_vertically(66);
        let (top, bottom) = body.split_vertically(310);
        let (left, right) = top.split_horizontally(SIZE.0 / 2);
        completion(&left, run)?;
        availability(&right, &run.moments)?;
        let (left, right) = bottom.split_horizontally(SIZE.0 / 2);
        uploads(&left, &run.shares)?;
        sources(&right, &run.shares)?;
        root.present()?;
    }
    Ok(text)
}

fn chart<'a, 'b>(
    area: &'a Area<'b>,
    caption: &str,
    x: Range<f64>,
    y: Range<f64>,
) -> Result<Chart<'a, 'b>, Box<dyn Error>> {
    Ok(ChartBuilder::on(area)
        .caption(caption, (FONT, 15).into_font().color(&INK))
        .margin(14)
        .margin_right(34)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(x, y)?)
}

fn mesh(chart: &mut Chart<'_, '_>, x: &str, y: &str, percent: bool) -> Drawn {
    let label = move |value: &f64| {
        if percent {
            format!("{:.0} %", value * 100.0)
        } else {
            short(*value)
        }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT)
        .label_style((FONT, 12).into_font().color(&INK))
        .axis_desc_style((FONT, 12).into_font().color(&FAINT))
        .x_labels(8)
        .y_labels(6)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&label)
        .x_desc(x)
        .y_desc(y)
        .draw()?;
    Ok(())
}

fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, position: SeriesLabelPosition) -> Drawn {
    chart
        .configure_series_labels()
        .position(position)
        .label_font((FONT, 12).into_font().color(&INK))
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .margin(8)
        .draw()?;
    Ok(())
}

fn line(chart: &mut Chart<'_, '_>, points: Vec<(f64, f64)>, color: RGBColor, label: &str) -> Drawn {
    let drawn = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    drawn
        .label(label)
        .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(2)));
    Ok(())
}

/// The share of hosts that have everything, and of bytes that are there, against the bound.
fn completion(area: &Area<'_>, run: &Run) -> Drawn {
    let (bound, last) = (run.report.bound_seconds, run.report.last_seconds);
    let end = last
        .min(run.moments.last().map_or(bound, |moment| moment.seconds))
        .max(bound)
        * 1.05;
    let mut chart = chart(area, "Completion", 0.0..end, 0.0..1.05)?;
    mesh(&mut chart, "seconds", "", true)?;
    let shown = || run.moments.iter().filter(|moment| moment.seconds <= end);
    let held = shown().map(|moment| (moment.seconds, moment.held.min(1.0)));
    line(&mut chart, held.collect(), TEAL, "bytes that are there")?;
    let count = run.report.expected.max(1) as f64;
    let mut steps = vec![(0.0, 0.0)];
    for (at, seconds) in run.finished.iter().enumerate() {
        steps.push((*seconds, at as f64 / count));
        steps.push((*seconds, (at + 1) as f64 / count));
    }
    line(
        &mut chart,
        thin(steps, 240),
        BLUE,
        "hosts that have everything",
    )?;
    let color = AMBER;
    let bar = DashedLineSeries::new([(bound, 0.0), (bound, 1.05)], 6, 4, color.stroke_width(2));
    chart
        .draw_series(bar)?
        .label("bound")
        .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(2)));
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// Copies of the rarest piece and of the average one.
fn availability(area: &Area<'_>, moments: &[Moment]) -> Drawn {
    let end = moments.last().map_or(1.0, |moment| moment.seconds);
    let most = moments
        .iter()
        .map(|moment| moment.copies_mean)
        .fold(1.0, f64::max);
    let mut chart = chart(area, "Copies of a piece", 0.0..end, 0.0..most * 1.08)?;
    mesh(&mut chart, "seconds", "", false)?;
    let mean = moments
        .iter()
        .map(|moment| (moment.seconds, moment.copies_mean));
    line(&mut chart, mean.collect(), TEAL, "on average")?;
    let least = moments
        .iter()
        .map(|moment| (moment.seconds, moment.copies_min));
    line(&mut chart, least.collect(), RED, "of the rarest piece")?;
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// What each host gave, most first.
fn uploads(area: &Area<'_>, shares: &[Share]) -> Drawn {
    let mut sorted: Vec<&Share> = shares.iter().collect();
    sorted.sort_by(|a, b| b.sent.total_cmp(&a.sent));
    // A large crowd is drawn by sample, so that the picture stays small.
    let stride = sorted.len().div_ceil(200).max(1);
    let shown: Vec<&Share> = sorted.into_iter().step_by(stride).collect();
    let most = shown.first().map_or(1.0, |share| share.sent).max(1.0);
    let count = shown.len() as f64;
    let mut chart = chart(
        area,
        "Copies that each host sent",
        0.0..count,
        0.0..most * 1.3,
    )?;
    let unit = if stride > 1 {
        "hosts, most generous first (a sample)"
    } else {
        "hosts, most generous first"
    };
    mesh(&mut chart, unit, "", false)?;
    for role in [Role::Seed, Role::Peer, Role::Adversary] {
        let members = shown
            .iter()
            .enumerate()
            .filter(|(_, share)| share.role == role);
        let bars = members.map(|(at, share)| {
            let at = at as f64;
            Rectangle::new(
                [(at + 0.1, 0.0), (at + 0.9, share.sent)],
                role.color().filled(),
            )
        });
        let bars: Vec<_> = bars.collect();
        if !bars.is_empty() {
            let drawn = chart.draw_series(bars)?;
            drawn.label(role.label()).legend(move |(x, y)| {
                Rectangle::new([(x, y - 5), (x + 12, y + 5)], role.color().filled())
            });
        }
    }
    let fair = DashedLineSeries::new([(0.0, 1.0), (count, 1.0)], 4, 4, FAINT.stroke_width(1));
    chart.draw_series(fair)?;
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

/// Where all bytes came from.
fn sources(area: &Area<'_>, shares: &[Share]) -> Drawn {
    let sum = |role: Role| {
        let of = shares.iter().filter(|share| share.role == role);
        of.map(|share| share.sent).fold(0.0, |sum, sent| sum + sent)
    };
    let roles = [Role::Seed, Role::Peer, Role::Adversary];
    let all: f64 = roles.into_iter().map(sum).sum::<f64>().max(1e-9);
    let mut chart = chart(area, "Bytes by source", 0.0..1.0, 0.0..3.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT)
        .label_style((FONT, 12).into_font().color(&INK))
        .x_label_formatter(&|value| format!("{:.0} %", value * 100.0))
        .draw()?;
    for (at, role) in roles.into_iter().enumerate() {
        let (share, row) = (sum(role) / all, 2.0 - at as f64);
        let bar = Rectangle::new(
            [(0.0, row + 0.3), (share, row + 0.7)],
            role.color().filled(),
        );
        chart.draw_series([bar])?;
        let told = format!(
            "{}: {:.1} copies, {:.1} %",
            role.label(),
            sum(role),
            share * 100.0
        );
        let style = (FONT, 13).into_font().color(&INK);
        chart.draw_series([Text::new(told, (0.005, row + 0.92), style)])?;
    }
    Ok(())
}

/// At most so many points of a curve, evenly drawn, the last one included.
fn thin(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(most).max(1);
    let last = points.last().copied();
    let mut shown: Vec<_> = points.into_iter().step_by(stride).collect();
    shown.extend(last);
    shown
}

/// A number with no more digits than it needs.
fn short(value: f64) -> String {
    if value.fract().abs() < 0.01 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}
