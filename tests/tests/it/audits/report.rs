//! What is found, as rows of a table.

use anyhow::{Result, ensure};
use weft_protocol::infer::{Fingerprint, Real, audit::Verdict};

use super::answers::Outcome;

/// How far an answer and an auditor lie apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    /// Of a single logit.
    pub(super) logit: f32,
    /// The root of the mean of squares.
    mean: f32,
    /// Of a token from what its logits allow.
    gap: f32,
}

impl Spread {
    pub(super) fn of(signed: &[Fingerprint], own: &[Fingerprint], gaps: &[Real]) -> Self {
        let (mut largest, mut squares, mut count) = (0.0_f32, 0.0_f32, 0.0_f32);
        for print in signed {
            let found = own.iter().find(|own| own.position == print.position);
            for (id, a) in &print.top {
                let b = found.and_then(|own| own.top.iter().find(|(other, _)| other == id));
                let difference = b.map_or(0.0, |(_, b)| (a.get() - b.get()).abs());
                largest = largest.max(difference);
                squares += difference * difference;
                count += 1.0;
            }
        }
        Self {
            logit: largest,
            mean: (squares / count.max(1.0)).sqrt(),
            gap: gaps.iter().fold(0.0, |most, gap| most.max(gap.get())),
        }
    }
}

/// A row of the table in `docs/performance.md`: receipts of one kind.
type Row = Vec<(Outcome, Spread)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Wrong,
    Unknown,
    Right,
}

fn count(row: &Row, wanted: Found) -> usize {
    let found = |outcome: &Outcome| match outcome {
        Outcome::Refused(_) | Outcome::Judged(Verdict::Differs(_)) => Found::Wrong,
        Outcome::Judged(Verdict::Unchecked(_)) => Found::Unknown,
        Outcome::Judged(Verdict::Agrees(_)) => Found::Right,
    };
    let found = row.iter().filter(|(outcome, _)| found(outcome) == wanted);
    found.count()
}

/// Each receipt of a row, for whoever has to find out why it is not as it should be.
fn all(row: &Row) -> String {
    let one = |(outcome, spread): &(Outcome, Spread)| match outcome {
        Outcome::Refused(why) => format!("refused: {why}"),
        Outcome::Judged(verdict) => format!("{verdict:?} {spread:?}"),
    };
    row.iter().map(one).collect::<Vec<String>>().join("\n")
}

/// Least, median and largest of something.
fn range(row: &Row, pick: fn(&Spread) -> f32) -> String {
    let mut all: Vec<f32> = row.iter().map(|(_, spread)| pick(spread)).collect();
    all.sort_by(f32::total_cmp);
    let at = |n: usize| all.get(n).copied().unwrap_or(0.0);
    let (least, median, most) = (at(0), at(all.len() / 2), at(all.len().saturating_sub(1)));
    format!("{least:.5} / {median:.5} / {most:.5}")
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Table {
    honest: Vec<(String, Row)>,
    cheats: Vec<(String, Row)>,
    liars: Vec<(String, Row)>,
}

impl Table {
    pub(super) fn begin() -> Self {
        eprintln!(
            "| receipts | wrong / cannot be told / right | a logit: least / median / most | mean | gap |"
        );
        Self::default()
    }

    /// All must be found right.
    pub(super) fn honest(&mut self, what: String, row: Row) {
        tell(&what, &row);
        self.honest.push((what, row));
    }

    /// Nearly all must be found wrong.
    pub(super) fn cheat(&mut self, what: String, row: Row) {
        tell(&what, &row);
        self.cheats.push((what, row));
    }

    /// Cheats who say that they have other kernels than they have: nearly none may be found right.
    pub(super) fn liar(&mut self, what: String, row: Row) {
        tell(&what, &row);
        self.liars.push((what, row));
    }

    pub(super) fn check(&self) -> Result<()> {
        for (what, row) in &self.honest {
            let right = count(row, Found::Right);
            ensure!(right == row.len(), "{what}: {right}: {}", all(row));
        }
        for (what, row) in &self.cheats {
            let wrong = count(row, Found::Wrong);
            ensure!(
                wrong * 100 >= row.len() * 99,
                "{what}: {wrong}: {}",
                all(row)
            );
        }
        for (what, row) in &self.liars {
            let right = count(row, Found::Right);
            ensure!(right * 100 <= row.len(), "{what}: {right}: {}", all(row));
        }
        Ok(())
    }
}

fn tell(what: &str, row: &Row) {
    eprintln!(
        "| {what} | {} / {} / {} of {} | {} | {} | {} |",
        count(row, Found::Wrong),
        count(row, Found::Unknown),
        count(row, Found::Right),
        row.len(),
        range(row, |spread| spread.logit),
        range(row, |spread| spread.mean),
        range(row, |spread| spread.gap),
    );
}
