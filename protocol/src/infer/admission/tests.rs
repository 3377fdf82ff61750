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

impl Queue {
    /// The job that begins next, where none is paused.
    fn start(&mut self, now: Instant) -> Option<Ticket> {
        self.next(now).map(|turn| match turn {
            Turn::Start(ticket, _) => ticket,
            other @ (Turn::Resume(..) | Turn::Pause(_)) => panic!("{other:?}"),
        })
    }
}

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

#[test]
fn a_prompt_that_is_longer_than_it_looked_is_brief_no_more_and_paid_in_full() {
    for (counted, rank, resumes) in [(900, Rank::Brief, false), (3_000, Rank::Stranger, true)] {
        let mut queue = queue(1);
        let long = Offer {
            answer_tokens: 1_000,
            ..offer(1, Class::Stranger, 800)
        };
        let long = queue.offer(long).unwrap();
        assert_eq!(queue.next(NOW), Some(Turn::Start(long, Rank::Brief)));
        queue.counted(long, counted);
        assert_eq!(Rank::Brief.of_prompt(counted), rank);
        // Who is brief is not paused for another who is.
        let other = queue.offer(offer(2, Class::Stranger, 100)).unwrap();
        assert_eq!(queue.next(NOW), resumes.then_some(Turn::Pause(long)));
        queue.end(NOW, long, counted);
        let again = queue.offer(offer(1, Class::Stranger, 1)).unwrap();
        let account = queue.accounts[&1].end;
        assert_eq!(account, turns::LEAD + span(counted, Class::Stranger));
        for ticket in [other, again] {
            assert_eq!(queue.start(NOW), Some(ticket));
            queue.end(NOW, ticket, 100);
        }
    }
}

/// Strangers of whom each always has one job, and a machine that computes so many at once.
struct Crowd {
    queue: Queue,
    /// What jobs still are to cost.
    left: BTreeMap<Ticket, (u32, u64)>,
    running: Vec<Ticket>,
    paused: usize,
    /// What each caller has had.
    had: BTreeMap<u32, u64>,
}

impl Crowd {
    fn new(slots: usize) -> Self {
        Self {
            queue: queue(slots),
            left: BTreeMap::new(),
            running: Vec::new(),
            paused: 0,
            had: BTreeMap::new(),
        }
    }

    fn ask(&mut self, caller: u32, class: Class, prompt: u64, answer: u64) -> Ticket {
        let offer = Offer {
            answer_tokens: answer,
            ..offer(caller, class, prompt)
        };
        let ticket = self.queue.offer(offer).unwrap();
        self.left.insert(ticket, (caller, cost(prompt, answer)));
        self.turns();
        ticket
    }

    fn turns(&mut self) {
        while let Some(turn) = self.queue.next(NOW) {
            match turn {
                Turn::Start(ticket, _) | Turn::Resume(ticket, _) => self.running.push(ticket),
                Turn::Pause(ticket) => {
                    self.running.retain(|other| *other != ticket);
                    self.paused += 1;
                }
            }
        }
    }

    /// Everything that runs goes on a little. Callers whose job ended ask for `next` again.
    fn advance(&mut self, next: impl Fn(u32) -> Option<(u64, u64)>) {
        for ticket in self.running.clone() {
            let (caller, left) = self.left.get_mut(&ticket).unwrap();
            let (caller, step) = (*caller, 4.min(*left));
            *left -= step;
            let left = *left;
            *self.had.entry(caller).or_default() += step;
            let spent = self.queue.entries[&ticket].cost - left;
            self.queue.spent(ticket, spent);
            if left == 0 {
                self.running.retain(|other| *other != ticket);
                self.left.remove(&ticket);
                self.queue.end(NOW, ticket, spent);
                if let Some((prompt, answer)) = next(caller) {
                    self.ask(caller, Class::Stranger, prompt, answer);
                }
            }
        }
        self.turns();
    }
}

/// Half of them want all that is allowed, the others hang up and ask again.
fn greedy(caller: u32) -> Option<(u64, u64)> {
    Some(if caller.is_multiple_of(2) {
        (400, 3_600)
    } else {
        (400, 5)
    })
}

#[test]
fn among_a_hundred_who_ask_all_the_time_who_asks_now_and_then_is_served_at_once() {
    let mut crowd = Crowd::new(8);
    for caller in 0..100 {
        let (prompt, answer) = greedy(caller).unwrap();
        crowd.ask(caller, Class::Stranger, prompt, answer);
    }
    // All have had what new callers get.
    while crowd.had.len() < 100 || crowd.had.values().any(|had| *had < 2 * 4_096) {
        crowd.advance(greedy);
    }
    for round in 0..40 {
        for (who, class) in [(1_000, Class::Stranger), (1_001, Class::Own)] {
            let ticket = crowd.ask(who, class, 20, 8);
            assert!(crowd.running.contains(&ticket), "{who}, round {round}");
            while crowd.left.contains_key(&ticket) {
                crowd.advance(|caller| greedy(caller).filter(|_| caller < 100));
            }
        }
    }
    assert!(crowd.paused > 40, "{}", crowd.paused);
}

#[test]
fn a_crowd_shares_what_there_is() {
    let mut crowd = Crowd::new(4);
    for caller in 0..30 {
        let (prompt, answer) = greedy(caller).unwrap();
        crowd.ask(caller, Class::Stranger, prompt, answer);
    }
    for _ in 0..60_000 {
        crowd.advance(greedy);
    }
    let most = crowd.had.values().max().unwrap();
    let least = crowd.had.values().min().unwrap();
    // A slice and a lead each.
    assert!(most - least < 3 * 4_096, "{least} to {most}");
    // Turns are long: what was computed for a job is not thrown away often.
    let all: u64 = crowd.had.values().sum();
    assert!(
        (crowd.paused as u64) < all / 1_000,
        "{} of {all}",
        crowd.paused
    );
}

#[test]
fn callers_without_jobs_are_forgotten_in_the_end() {
    let mut queue = queue(2);
    queue.offer(offer(0, Class::Stranger, 10)).unwrap();
    let keeps = queue.start(NOW);
    assert!(keeps.is_some());
    for caller in 1..20_000 {
        let ticket = queue.offer(own(caller, 10)).unwrap();
        assert_eq!(queue.start(NOW), Some(ticket));
        queue.end(NOW, ticket, 10);
    }
    assert!(queue.accounts.len() <= REMEMBERED_MAX + 2);
}

#[derive(Debug, Clone)]
enum Step {
    Offer {
        caller: u32,
        tokens: u64,
        stranger: bool,
    },
    Start,
    Count {
        nth: usize,
        tokens: u64,
    },
    Spend {
        nth: usize,
        spent: u64,
    },
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
        2 => (any::<usize>(), 0..5_000_u64).prop_map(|(nth, tokens)| Step::Count { nth, tokens }),
        3 => (any::<usize>(), 0..20_000_u64).prop_map(|(nth, spent)| Step::Spend { nth, spent }),
        3 => (any::<usize>(), 0..20_000_u64).prop_map(|(nth, spent)| Step::End { nth, spent }),
        1 => (0..4_usize).prop_map(Step::Slots),
    ]
}

proptest! {
    #[test]
    fn bounds_hold_and_every_job_ends(steps in proptest::collection::vec(step(), 0..300)) {
        let params = Params { waiting_max: 16, per_caller_max: 5, ..Params::default() };
        let mut queue = Queue::new(params);
        let (mut running, mut paused) = (Vec::new(), Vec::new());
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
                Step::Start => match queue.next(NOW) {
                    None => {}
                    Some(Turn::Start(ticket, _)) => {
                        running.push(ticket);
                        prop_assert!(running.len() <= slots);
                    }
                    Some(Turn::Resume(ticket, _)) => {
                        let before = paused.len();
                        paused.retain(|other| *other != ticket);
                        prop_assert_eq!(paused.len() + 1, before);
                        running.push(ticket);
                    }
                    Some(Turn::Pause(ticket)) => {
                        prop_assert!(jobs[&ticket] >= 100, "only strangers' jobs are paused");
                        let before = running.len();
                        running.retain(|other| *other != ticket);
                        prop_assert_eq!(running.len() + 1, before);
                        paused.push(ticket);
                    }
                },
                Step::Count { nth, tokens } => if !running.is_empty() {
                    queue.counted(running[nth % running.len()], tokens);
                },
                Step::Spend { nth, spent } => if !running.is_empty() {
                    queue.spent(running[nth % running.len()], spent);
                },
                Step::End { nth, spent } => if !jobs.is_empty() {
                    let ticket = *jobs.keys().nth(nth % jobs.len()).unwrap();
                    queue.end(NOW, ticket, spent);
                    jobs.remove(&ticket);
                    running.retain(|other| *other != ticket);
                    paused.retain(|other| *other != ticket);
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
            prop_assert!(jobs.len() - running.len() - paused.len() <= 16);
            prop_assert_eq!(queue.begun(&'a'), running.len() + paused.len());
        }
        // Closed for new jobs, those that were begun still end.
        queue.open('a', 0);
        for ticket in running.drain(..) {
            queue.end(NOW, ticket, 1);
            jobs.remove(&ticket);
        }
        while let Some(turn) = queue.next(NOW) {
            let Turn::Resume(ticket, _) = turn else { panic!("{turn:?}") };
            paused.retain(|other| *other != ticket);
            queue.end(NOW, ticket, 1);
            jobs.remove(&ticket);
        }
        prop_assert!(paused.is_empty());
        queue.open('a', 1);
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
