//! Against an exact solver, and against what a line must deliver in time.

use super::*;

/// Max-min fairness by progressive filling: raise all rates together, freeze at each bottleneck.
fn exact(capacities: &[f64], flows: &[(usize, usize, f64)]) -> Vec<f64> {
    let mut rates = vec![f64::NAN; flows.len()];
    let mut level = 0.0_f64;
    while rates.iter().any(|rate| rate.is_nan()) {
        let room = |line: usize| {
            let on = |(up, down, _): &(usize, usize, f64)| *up == line || *down == line;
            let members = flows.iter().zip(&rates).filter(|(flow, _)| on(flow));
            let (mut used, mut free) = (0.0, 0);
            for (_, rate) in members {
                if rate.is_nan() {
                    free += 1;
                } else {
                    used += rate;
                }
            }
            (free > 0).then(|| (capacities[line] - used) / f64::from(free))
        };
        let lines = (0..capacities.len()).filter_map(|line| room(line).map(|room| (line, room)));
        let (line, at) = lines.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let open = flows.iter().zip(&rates).filter(|(_, rate)| rate.is_nan());
        let cap = open.map(|(flow, _)| flow.2).min_by(f64::total_cmp).unwrap();
        level = level.max(at.min(cap));
        for (flow, rate) in flows.iter().zip(&mut rates) {
            let stuck =
                (cap <= at && flow.2 <= cap) || (cap > at && (flow.0 == line || flow.1 == line));
            if rate.is_nan() && stuck {
                *rate = level;
            }
        }
    }
    rates
}

#[test]
fn random_graphs_agree_with_the_exact_solver() {
    let mut worst = 0.0_f64;
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let hosts = rng.u32(2..24);
        let mut flows = Flows::default();
        let mut capacities = Vec::new();
        for _ in 0..hosts {
            let (up, down) = (f64::from(rng.u32(1..200)), f64::from(rng.u32(1..400)));
            flows.add_host(up, down);
            capacities.extend([up, down]);
        }
        let mut live: Vec<(u32, u32, f64)> = Vec::new();
        for step in 0..80 {
            let (from, to) = (rng.u32(..hosts), rng.u32(..hosts));
            let known = live.iter().position(|flow| (flow.0, flow.1) == (from, to));
            let job = JobId(u64::from(from * 100 + to));
            match known {
                Some(at) => {
                    live.remove(at);
                    flows.stop(from, to, job, step);
                }
                None if from != to => {
                    let cap = if rng.u8(..4) == 0 {
                        f64::from(rng.u32(1..60))
                    } else {
                        1e12
                    };
                    let (first, total) = (1e15, 1e15);
                    let order = Order {
                        job,
                        from,
                        to,
                        first,
                        step: 1.0,
                        total,
                        cap,
                    };
                    flows.start(&order, step);
                    live.push((from, to, cap));
                }
                None => {
                    let (up, down) = (f64::from(rng.u32(1..200)), f64::from(rng.u32(1..400)));
                    flows.set_capacity(from, up, down, step);
                    capacities[from as usize * 2] = up;
                    capacities[from as usize * 2 + 1] = down;
                }
            }
            flows.due.check();
            let lines: Vec<_> = live
                .iter()
                .map(|(from, to, cap)| (*from as usize * 2, *to as usize * 2 + 1, *cap))
                .collect();
            for (right, flow) in exact(&capacities, &lines).iter().zip(&live) {
                let rate = flows.rate(flow.0, flow.1);
                worst = worst.max((rate - right).abs() / right);
            }
        }
    }
    assert!(worst < 0.02, "off by {worst}");
}

/// Everything that is reached until nothing flows, with its time in milliseconds.
fn run(flows: &mut Flows) -> Vec<(u64, u64, bool)> {
    let mut told = Vec::new();
    while let Some(at) = flows.next() {
        while let Some(reached) = flows.pop(at) {
            told.push((at / 1_000, reached.job.0, reached.last));
        }
    }
    told
}

fn order(job: u64, from: u32, to: u32, first: f64, step: f64, total: f64) -> Order {
    let (job, cap) = (JobId(job), f64::INFINITY);
    Order {
        job,
        from,
        to,
        first,
        step,
        total,
        cap,
    }
}

#[test]
fn one_line_delivers_what_it_can_and_shares_it_evenly() {
    let mut flows = Flows::default();
    for _ in 0..3 {
        flows.add_host(1_000.0, 10_000.0);
    }
    flows.start(&order(1, 0, 1, 500.0, 500.0, 1_000.0), 0);
    flows.start(&order(2, 0, 2, 250.0, 250.0, 250.0), 0);
    // Half a line each: job 2 ends at 500 ms; job 1 then has the whole line.
    assert_eq!(
        run(&mut flows),
        [(500, 2, true), (750, 1, false), (1_250, 1, true)]
    );
}

#[test]
fn jobs_of_one_pair_share_one_flow() {
    let mut flows = Flows::default();
    for _ in 0..3 {
        flows.add_host(1_200.0, 10_000.0);
    }
    for job in 0..3 {
        flows.start(&order(job, 0, 1, 200.0, 200.0, 200.0), 0);
    }
    flows.start(&order(9, 0, 2, 600.0, 600.0, 600.0), 0);
    let told = run(&mut flows);
    assert_eq!(told.last(), Some(&(1_000, 9, true)), "{told:?}");
    assert_eq!(told.len(), 4);
    assert_eq!(told[0].0, 1_000, "three share the half that one has alone");
}

#[test]
fn a_stopped_job_tells_what_it_got() {
    let mut flows = Flows::default();
    flows.add_host(1_000.0, 1_000.0);
    flows.add_host(1_000.0, 1_000.0);
    flows.start(&order(1, 0, 1, 9_000.0, 1.0, 9_000.0), 0);
    assert!((flows.moved(0, 1, JobId(1), 250_000) - 250.0).abs() < 1e-6);
    assert!((flows.stop(0, 1, JobId(1), 500_000) - 500.0).abs() < 1e-6);
    assert_eq!(flows.next(), None);
}
