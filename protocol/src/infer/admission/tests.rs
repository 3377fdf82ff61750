use proptest::prelude::*;

use super::*;

type Queue = Admission<u32, char>;

fn offer(caller: u32, class: Class, tokens: u64) -> Offer<u32, char> {
    Offer {
        caller,
        class,
        lane: 'a',
        prompt_tokens: tokens,
        answer_tokens: 0,
        deadline: None,
    }
}

fn own(caller: u32, tokens: u64) -> Offer<u32, char> {
    offer(caller, Class::Own, tokens)
}

fn queue(slots: usize) -> Queue {
    let mut queue = Queue::new(Params::default());
    queue.open('a', slots);
    queue
}

const NOW: Instant = Instant(0);

#[test]
fn a_newcomer_waits_for_one_job_of_a_crowd_and_not_for_all() {
    let mut queue = queue(1);
    let crowd: Vec<_> = (0..50).map(|_| queue.offer(own(1, 100)).unwrap()).collect();
    assert_eq!(queue.start(NOW), Some(crowd[0]));
    let newcomer = queue.offer(own(2, 100)).unwrap();
    assert_eq!(queue.start(NOW), None);
    queue.end(NOW, crowd[0], 100);
    assert_eq!(queue.start(NOW), Some(newcomer));
}

#[test]
fn strangers_leave_a_slot_and_get_what_they_may() {
    let mut queue = queue(4);
    let tickets: Vec<_> = (0..10)
        .map(|i| queue.offer(offer(i, Class::Stranger, 10)).unwrap())
        .collect();
    let running: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).collect();
    assert_eq!(running, tickets[..3]);
    let mine = queue.offer(own(100, 10)).unwrap();
    assert_eq!(queue.start(NOW), Some(mine));

    let twice = queue.offer(offer(3, Class::Stranger, 10));
    assert!(matches!(twice, Err(Refusal::Busy { .. })));
    let long = queue.offer(offer(50, Class::Stranger, 4_096));
    assert_eq!(
        long,
        Err(Refusal::TooLong {
            tokens: 4_096,
            max: 4_096
        })
    );
    // A machine with one slot still serves them.
    let mut single = self::queue(1);
    let ticket = single.offer(offer(1, Class::Stranger, 10)).unwrap();
    assert_eq!(single.start(NOW), Some(ticket));
}

#[test]
fn a_crowd_of_strangers_does_not_fill_the_queue_for_others() {
    let mut queue = queue(1);
    let mut taken = 0;
    let mut refused = 0;
    for i in 0..1_000 {
        match queue.offer(offer(i, Class::Stranger, 10)) {
            Ok(_) => taken += 1,
            Err(Refusal::Busy { retry_millis }) => {
                assert!((500..=60_000).contains(&retry_millis));
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, refused), (192, 808));
    assert!(queue.offer(own(5_000, 10)).is_ok());
}

#[test]
fn a_closed_lane_holds_its_jobs_and_no_others() {
    let mut queue = queue(1);
    let held = queue
        .offer(Offer {
            lane: 'b',
            ..own(1, 1)
        })
        .unwrap();
    let free = queue.offer(own(2, 1)).unwrap();
    assert_eq!(queue.wanted(), ['b', 'a']);
    assert_eq!(queue.start(NOW), Some(free));
    assert_eq!(queue.start(NOW), None);
    queue.open('b', 1);
    assert_eq!(queue.start(NOW), Some(held));
    queue.close(&'b');
    queue.end(NOW, held, 1);
    queue.end(NOW, free, 1);
    assert!(queue.is_empty());
}

#[test]
fn deadlines_are_told() {
    let mut queue = queue(1);
    let deadline = Some(Instant(10));
    let ticket = queue
        .offer(Offer {
            deadline,
            ..own(1, 1)
        })
        .unwrap();
    queue.offer(own(2, 1)).unwrap();
    assert_eq!(queue.deadline(), deadline);
    assert!(queue.expired(Instant(9)).is_empty());
    assert_eq!(queue.expired(Instant(10)), [ticket]);
    queue.forget_deadline(ticket);
    assert_eq!((queue.deadline(), queue.len()), (None, 2));
}

#[test]
fn what_was_not_spent_is_given_back() {
    let mut queue = queue(1);
    let long = queue.offer(own(1, 100_000)).unwrap();
    let second = queue.offer(own(1, 10)).unwrap();
    for _ in 0..3 {
        queue.offer(own(2, 10)).unwrap();
    }
    assert_eq!(queue.start(NOW), Some(long));
    queue.end(NOW, long, 10);
    let third = queue.offer(own(1, 10)).unwrap();
    let mut order = Vec::new();
    while let Some(ticket) = queue.start(NOW) {
        queue.end(NOW, ticket, 10);
        order.push(ticket);
    }
    // What the first was taken to cost would have put both behind everybody else.
    assert_eq!(order[..2], [2, second], "{order:?}");
    assert!(order.contains(&third));
}

#[derive(Debug, Clone)]
enum Step {
    Offer {
        caller: u32,
        tokens: u64,
        stranger: bool,
    },
    Start,
    End {
        nth: usize,
        spent: u64,
    },
    Slots(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u32, 0..5_000_u64, any::<bool>())
            .prop_map(|(caller, tokens, stranger)| Step::Offer { caller, tokens, stranger }),
        4 => Just(Step::Start),
        3 => (any::<usize>(), 0..20_000_u64).prop_map(|(nth, spent)| Step::End { nth, spent }),
        1 => (0..4_usize).prop_map(Step::Slots),
    ]
}

proptest! {
    #[test]
    fn bounds_hold_and_every_job_ends(steps in proptest::collection::vec(step(), 0..300)) {
        let params = Params { waiting_max: 16, per_caller_max: 5, ..Params::default() };
        let mut queue = Queue::new(params);
        let mut running = Vec::new();
        let mut jobs: BTreeMap<Ticket, u32> = BTreeMap::new();
        let mut slots = 0;
        for step in steps {
            match step {
                Step::Offer { caller, tokens, stranger } => {
                    // A caller is of one class.
                    let caller = if stranger { caller + 100 } else { caller };
                    let class = if stranger { Class::Stranger } else { Class::Own };
                    if let Ok(ticket) = queue.offer(offer(caller, class, tokens)) {
                        jobs.insert(ticket, caller);
                    }
                    let of_caller = jobs.values().filter(|c| **c == caller).count();
                    let most = if stranger { 1 } else { 5 };
                    prop_assert!(of_caller <= most);
                }
                Step::Start => if let Some(ticket) = queue.start(NOW) {
                    running.push(ticket);
                    prop_assert!(running.len() <= slots);
                },
                Step::End { nth, spent } => if !jobs.is_empty() {
                    let ticket = *jobs.keys().nth(nth % jobs.len()).unwrap();
                    queue.end(NOW, ticket, spent);
                    jobs.remove(&ticket);
                    running.retain(|other| *other != ticket);
                },
                Step::Slots(now) => {
                    // Fewer slots end nothing that runs.
                    if now >= running.len() {
                        slots = now;
                        queue.open('a', now);
                    }
                }
            }
            prop_assert_eq!(queue.len(), jobs.len());
            prop_assert!(jobs.len() - running.len() <= 16);
            prop_assert_eq!(queue.running(&'a'), running.len());
        }
        queue.open('a', 1);
        for ticket in running.drain(..) {
            queue.end(NOW, ticket, 1);
            jobs.remove(&ticket);
        }
        while let Some(ticket) = queue.start(NOW) {
            queue.end(NOW, ticket, 1);
            prop_assert!(jobs.remove(&ticket).is_some());
        }
        prop_assert!(jobs.is_empty() && queue.is_empty());
        prop_assert!(queue.accounts.is_empty());
    }

    /// Between two callers who always have something waiting, what they got differs by at most one job of each.
    #[test]
    fn shares_are_equal_by_cost(
        first in proptest::collection::vec(1..2_000_u64, 40),
        second in proptest::collection::vec(1..2_000_u64, 40),
    ) {
        let mut queue = queue(1);
        let mut costs = BTreeMap::new();
        for (caller, all) in [(1, &first), (2, &second)] {
            for tokens in all {
                let ticket = queue.offer(own(caller, *tokens)).unwrap();
                costs.insert(ticket, (caller, *tokens));
            }
        }
        let (mut got, mut left) = ([0_u64; 2], [40; 2]);
        let largest = first.iter().chain(&second).max().copied().unwrap();
        while let Some(ticket) = queue.start(NOW) {
            let (caller, tokens) = costs[&ticket];
            got[caller as usize - 1] += tokens;
            left[caller as usize - 1] -= 1;
            queue.end(NOW, ticket, tokens);
            if left.iter().all(|left| *left > 0) {
                prop_assert!(got[0].abs_diff(got[1]) <= 2 * largest, "{got:?}");
            }
        }
    }
}
