//! The swarm alone, driven by hand.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each helper looks for one kind of output"
)]

mod copies;
mod hunger;

use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::{
    id::ObjectId,
    layout::PieceRange,
    piece_set::PieceSet,
    service::{Event, TransferError},
};

const PIECE: u64 = 256 * 1024;
const REVISION: RevisionId = ObjectId::new([7; 32]);
const BLOB: BlobHash = BlobHash::new([8; 32]);

struct Bench {
    swarm: Swarm,
    out: Outbox,
    rng: Rng,
    now: Instant,
    /// The question what can be copied.
    planning: Option<RequestId>,
}

/// One transfer that was asked for.
type Asked = (RequestId, NodeId, PieceRange);

impl Bench {
    /// A download of one blob of which nothing is here.
    fn new(pieces: u64) -> Self {
        Self::with(pieces, vec![])
    }

    /// The same, with revisions that may share something with it.
    fn with(pieces: u64, relatives: Vec<RevisionId>) -> Self {
        let mut bench = Self {
            swarm: Swarm::default(),
            out: Outbox::default(),
            rng: Rng::with_seed(1),
            now: Instant(0),
            planning: None,
        };
        let size = pieces * PIECE;
        let blobs = [(BLOB, size)];
        bench.call(|swarm, ctx| swarm.start(REVISION, &blobs, BTreeSet::new(), relatives, ctx));
        let mut request = None;
        for output in bench.outputs() {
            match output {
                Output::InspectBlobs { request: asked, .. } => request = Some(asked),
                Output::PlanCopies { request, .. } => bench.planning = Some(request),
                _ => {}
            }
        }
        let have = PieceSet::empty(Layout::new(size).pieces());
        bench.call(|swarm, ctx| swarm.inspected(request.unwrap(), &[have], ctx));
        bench
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Swarm, &mut Context<'_>) -> R) -> R {
        let mut context = Context {
            now: self.now,
            out: &mut self.out,
            rng: &mut self.rng,
        };
        let result = call(&mut self.swarm, &mut context);
        self.swarm.check_invariants();
        result
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.out.pop()).collect()
    }

    /// A peer that has what is drawn.
    fn peer(&mut self, n: u8, drawn: &str) -> NodeId {
        let peer = NodeId::new([n; 32]);
        self.call(|swarm, ctx| swarm.connected(peer, ctx));
        let mut have = PieceSet::empty(u32::try_from(drawn.len()).unwrap());
        for (at, _) in drawn.match_indices('#') {
            have.insert(u32::try_from(at).unwrap());
        }
        self.call(|swarm, ctx| swarm.available(peer, &BLOB, &have, ctx));
        peer
    }

    /// Ends the wait for further providers.
    fn open(&mut self) {
        self.call(|swarm, ctx| swarm.hint(&REVISION, [], true, ctx));
    }

    fn asked(&mut self) -> Vec<Asked> {
        let asked = |output| match output {
            Output::FetchPieces {
                request,
                peer,
                pieces,
                ..
            } => Some((request, peer, pieces)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(asked).collect()
    }

    fn end(&mut self, request: RequestId, result: Result<(), TransferError>) {
        self.call(|swarm, ctx| swarm.fetched(request, result, ctx));
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.call(|swarm, ctx| swarm.timeout(ctx));
    }
}

#[test]
fn nothing_is_asked_before_the_providers_are_gathered() {
    let mut bench = Bench::new(8);
    bench.peer(1, "########");
    assert_eq!(bench.asked(), []);
    bench.open();
    assert!(!bench.asked().is_empty());
}

#[test]
fn gathering_ends_by_itself() {
    let mut bench = Bench::new(8);
    bench.peer(1, "########");
    bench.pass(Duration::from_secs(2));
    assert!(!bench.asked().is_empty());
}

#[test]
fn a_new_peer_gets_two_transfers_and_one_that_sends_four() {
    let mut bench = Bench::new(40);
    bench.peer(1, &"#".repeat(40));
    bench.open();
    let asked = bench.asked();
    assert_eq!(asked.len(), 2);
    let (request, ..) = asked[0];
    bench.call(|swarm, ctx| swarm.progressed(request, 0, ctx));
    assert_eq!(bench.asked().len(), 2);
}

#[test]
fn no_piece_is_asked_twice_while_it_is_on_its_way() {
    let mut bench = Bench::new(12);
    for n in 1..=3 {
        bench.peer(n, "############");
    }
    bench.open();
    let mut seen = BTreeSet::new();
    for (_, _, range) in bench.asked() {
        for piece in range.start..range.end {
            assert!(seen.insert(piece));
        }
    }
}

#[test]
fn only_what_a_peer_has_is_asked_of_it() {
    let mut bench = Bench::new(6);
    let (left, right) = (bench.peer(1, "##...."), bench.peer(2, "....##"));
    bench.open();
    for (_, peer, range) in bench.asked() {
        assert!(peer != left || range.end <= 2);
        assert!(peer != right || range.start >= 4);
    }
}

#[test]
fn a_busy_peer_is_left_alone_for_a_while() {
    let mut bench = Bench::new(4);
    bench.peer(1, "####");
    bench.open();
    for (request, ..) in bench.asked() {
        bench.end(request, Err(TransferError::Unavailable));
    }
    assert_eq!(bench.asked(), []);
    bench.pass(Duration::from_secs(3));
    assert!(!bench.asked().is_empty());
}

#[test]
fn a_corrupt_peer_is_banned_and_its_pieces_go_to_others() {
    let mut bench = Bench::new(4);
    let (liar, honest) = (bench.peer(1, "####"), bench.peer(2, "####"));
    bench.open();
    let asked = bench.asked();
    let (request, _, range) = *asked.iter().find(|(_, peer, _)| *peer == liar).unwrap();
    bench.end(request, Err(TransferError::Corrupt));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::Ban { peer: liar }));
    assert!(outputs.contains(&Output::Event(Event::PeerCorrupt {
        peer: liar,
        blob: BLOB
    })));
    for (request, peer, _) in asked {
        if peer == honest {
            bench.end(request, Ok(()));
        }
    }
    let again = bench.asked();
    let taken = |(_, peer, other): &Asked| {
        *peer == honest && other.start <= range.start && range.end <= other.end
    };
    assert!(again.iter().any(taken), "{again:?}");
}

#[test]
fn what_a_slow_peer_owes_is_asked_of_an_idle_one_and_the_loser_is_cancelled() {
    let mut bench = Bench::new(2);
    let slow = bench.peer(1, "##");
    bench.open();
    let owed = bench.asked();
    assert!(owed.iter().all(|(_, peer, _)| *peer == slow));
    let quick = bench.peer(2, "##");
    assert_eq!(
        bench.asked(),
        [],
        "the first second belongs to the first peer"
    );
    bench.pass(Duration::from_secs(2));
    let copies = bench.asked();
    assert!(!copies.is_empty() && copies.iter().all(|(_, peer, _)| *peer == quick));
    let (copy, _, range) = copies[0];
    bench.end(copy, Ok(()));
    let (original, ..) = *owed.iter().find(|(_, _, other)| *other == range).unwrap();
    assert!(
        bench
            .outputs()
            .contains(&Output::CancelPieces { request: original })
    );
}

#[test]
fn silence_is_a_stall_and_the_pieces_go_to_others() {
    let mut bench = Bench::new(1);
    let silent = bench.peer(1, "#");
    bench.open();
    let (request, ..) = bench.asked()[0];
    bench.pass(Duration::from_secs(11));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::CancelPieces { request }));
    assert!(outputs.contains(&Output::Event(Event::PeerStalled { peer: silent })));
    let other = bench.peer(2, "#");
    assert_eq!(bench.asked()[0].1, other);
}

#[test]
fn who_served_before_lets_wait_for_long_and_is_not_blamed() {
    let mut bench = Bench::new(4);
    let peer = bench.peer(1, "####");
    bench.open();
    let (first, ..) = bench.asked()[0];
    bench.end(first, Ok(()));
    bench.outputs();
    bench.pass(Duration::from_secs(30));
    let stalled = Output::Event(Event::PeerStalled { peer });
    assert!(!bench.outputs().contains(&stalled), "its turn may come");
    bench.pass(Duration::from_secs(31));
    assert!(bench.outputs().contains(&stalled));
}

#[test]
fn a_failing_disk_rests_the_download() {
    let mut bench = Bench::new(4);
    bench.peer(1, "####");
    bench.open();
    let full = TransferError::Storage(StorageError::Full);
    for (request, ..) in bench.asked() {
        bench.end(request, Err(full.clone()));
    }
    let told = News::StorageFailed(vec![REVISION], StorageError::Full);
    assert!(bench.swarm.take_news().contains(&told));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.asked(), []);
    bench.pass(Duration::from_secs(30));
    assert!(!bench.asked().is_empty());
}

#[test]
fn the_last_piece_completes_the_download() {
    let mut bench = Bench::new(3);
    bench.peer(1, "###");
    bench.open();
    loop {
        let asked = bench.asked();
        if asked.is_empty() {
            break;
        }
        for (request, ..) in asked {
            bench.end(request, Ok(()));
        }
    }
    assert_eq!(bench.swarm.take_news(), [News::Complete(REVISION)]);
    let progress = bench.swarm.progress(&REVISION).unwrap();
    assert_eq!(
        (progress.bytes_done, progress.bytes_missing),
        (3 * PIECE, 0)
    );
}

#[test]
fn the_rarest_piece_is_asked_for_first() {
    for seed in 0..20 {
        let mut bench = Bench::new(40);
        bench.rng = Rng::with_seed(seed);
        let everything = "#".repeat(40);
        let rare = format!("{}.{}", "#".repeat(24), "#".repeat(15));
        let holder = bench.peer(1, &everything);
        for n in 2..=7 {
            bench.peer(n, &rare);
        }
        bench.open();
        let asked = bench.asked();
        let of_holder = asked.iter().find(|(_, peer, _)| *peer == holder).unwrap();
        assert_eq!(
            of_holder.2,
            PieceRange { start: 24, end: 25 },
            "seed {seed}"
        );
    }
}

#[test]
fn a_transfer_far_slower_than_its_peers_rate_is_given_to_others() {
    let mut bench = Bench::new(400);
    let (slow, quick) = (
        bench.peer(1, &"#".repeat(400)),
        bench.peer(2, &"#".repeat(400)),
    );
    bench.open();
    // Two quick rounds tell what is to be expected.
    let mut asked = bench.asked();
    for _ in 0..12 {
        bench.now = bench.now + Duration::from_millis(100);
        for (request, ..) in std::mem::take(&mut asked) {
            bench.call(|swarm, ctx| swarm.progressed(request, 0, ctx));
        }
        bench.now = bench.now + Duration::from_millis(100);
        let live: Vec<_> = bench
            .swarm
            .requests
            .iter()
            .map(|(r, t)| (r, t.peer))
            .collect();
        for (request, peer) in live {
            if peer == quick {
                bench.end(request, Ok(()));
            }
        }
        bench.call(|swarm, ctx| swarm.timeout(ctx));
        asked = bench.asked();
    }
    bench.pass(Duration::from_millis(500));
    let stuck = bench
        .swarm
        .requests
        .live()
        .filter(|(_, t)| t.peer == slow)
        .count();
    assert_eq!(
        stuck, 0,
        "what the slow peer owes is open again after a second"
    );
}

#[test]
fn whoever_lies_twice_in_a_row_stays_away_for_long() {
    let mut bench = Bench::new(8);
    let liar = bench.peer(1, "########");
    bench.open();
    for round in 0..2 {
        let (request, ..) = *bench.asked().last().unwrap();
        bench.end(request, Err(TransferError::Corrupt));
        assert!(bench.swarm.is_banned(&liar));
        bench.pass(Duration::from_secs(599));
        assert!(!bench.outputs().contains(&Output::Pardon { peer: liar }));
        bench.pass(Duration::from_secs(2));
        let pardoned = bench.outputs().contains(&Output::Pardon { peer: liar });
        assert_eq!(pardoned, round == 0, "round {round}");
        if round == 0 {
            // It lost the blob for good; another one is to be had of it.
            bench.peer(1, "########");
            assert_eq!(bench.asked(), []);
            let other = (BlobHash::new([9; 32]), 8 * PIECE);
            let revision = ObjectId::new([6; 32]);
            bench.call(|swarm, ctx| swarm.start(revision, &[other], BTreeSet::new(), vec![], ctx));
            let inspection = bench.swarm.inspections.keys().next().copied().unwrap();
            let none = [PieceSet::empty(8)];
            bench.call(|swarm, ctx| swarm.inspected(inspection, &none, ctx));
            let all = PieceSet::full(8);
            bench.call(|swarm, ctx| swarm.available(liar, &other.0, &all, ctx));
            bench.pass(Duration::from_secs(2));
        }
    }
}

#[test]
fn a_waiting_request_is_taken_over_by_a_peer_that_serves() {
    let mut bench = Bench::new(200);
    let silent = bench.peer(1, &format!("{}{}", ".".repeat(199), "#"));
    bench.open();
    let waiting = bench.asked();
    assert_eq!(waiting[0].1, silent);
    let quick = bench.peer(
        2,
        &format!(
            "{}{}",
            "#".repeat(4),
            &format!("{}{}", ".".repeat(195), "#")
        ),
    );
    let mut taken = false;
    for _ in 0..20 {
        for (request, peer, range) in bench.asked() {
            taken |= peer == quick && range.start == 199;
            bench.end(request, Ok(()));
        }
        bench.pass(Duration::from_millis(250));
    }
    assert!(taken, "the last piece comes from the peer that serves");
}

#[test]
fn what_a_reader_waits_for_comes_first() {
    let mut bench = Bench::new(100);
    let start = 60 * PIECE;
    let reader = ReaderId(1);
    bench.call(|swarm, ctx| swarm.reading(reader, BLOB, start..100 * PIECE, ctx));
    bench.peer(1, &"#".repeat(100));
    bench.open();
    let asked = bench.asked();
    assert_eq!(asked[0].2.start, 60);
    assert_eq!(asked[1].2.start, asked[0].2.end);
}

#[test]
fn whoever_takes_from_us_is_observed_back() {
    let mut bench = Bench::new(100);
    let ids: Vec<NodeId> = (1..=30).map(|n| bench.peer(n, &"#".repeat(100))).collect();
    let observed = |bench: &Bench| bench.swarm.known_peers(&REVISION).len();
    assert_eq!(observed(&bench), limits::NEIGHBOURS_CHOSEN);
    bench.outputs();
    for (n, peer) in (0..).zip(&ids) {
        let (upload, blob) = (UploadId(n), (BLOB, 100 * PIECE));
        bench.call(|swarm, ctx| swarm.upload_asked(upload, *peer, blob, 0..PIECE, ctx));
    }
    let watched = |output: &Output| matches!(output, Output::Observe { .. });
    assert_eq!(
        bench
            .outputs()
            .iter()
            .filter(|output| watched(output))
            .count(),
        10
    );
}

#[test]
fn whoever_takes_from_us_is_observed_in_place_of_a_stranger() {
    let mut bench = Bench::new(100);
    let drawn = format!("{}.", "#".repeat(99));
    let ids: Vec<NodeId> = (1..=50).map(|n| bench.peer(n, &drawn)).collect();
    let take = |bench: &mut Bench, peers: &[NodeId]| -> Vec<Output> {
        bench.outputs();
        for peer in peers {
            let upload = UploadId(u64::from(peer.as_bytes()[0]));
            let blob = (BLOB, 100 * PIECE);
            bench.call(|swarm, ctx| swarm.upload_asked(upload, *peer, blob, 0..PIECE, ctx));
        }
        let outputs = bench.outputs().into_iter();
        let watching = |o: &Output| matches!(o, Output::Observe { .. } | Output::Unobserve { .. });
        outputs.filter(watching).collect()
    };
    let observed: Vec<NodeId> = bench.swarm.known_peers(&REVISION).into_iter().collect();
    let others: Vec<NodeId> = ids
        .iter()
        .filter(|id| !observed.contains(id))
        .copied()
        .collect();
    assert_eq!(take(&mut bench, &others[..20]).len(), 20, "there is room");
    assert_eq!(take(&mut bench, &others[20..21]), [], "all are new");
    bench.now = bench.now + Duration::from_secs(16);
    let (peer, blob) = (others[21], BLOB);
    let outputs = take(&mut bench, &[peer]);
    assert!(matches!(&outputs[0], Output::Unobserve { peer, .. } if observed.contains(peer)));
    let size = 100 * PIECE;
    assert_eq!(outputs[1..], [Output::Observe { peer, blob, size }]);
    let now = bench.now;
    bench.swarm.penalties.stalled(others[22], now);
    assert_eq!(take(&mut bench, &others[22..23]), [], "it let us wait");
}

#[test]
fn a_choked_peer_receives_no_piece_and_a_free_place_is_filled_at_once() {
    let mut bench = Bench::new(100);
    let mut started = Vec::new();
    for n in 0..20_u8 {
        let (upload, peer) = (UploadId(n.into()), NodeId::new([n; 32]));
        let blob = (BLOB, 100 * PIECE);
        bench.call(|swarm, ctx| swarm.upload_asked(upload, peer, blob, 0..PIECE, ctx));
    }
    let starts = |bench: &mut Bench| -> Vec<UploadId> {
        let started = |output| match output {
            Output::StartUpload { upload } => Some(upload),
            _ => None,
        };
        bench.outputs().into_iter().filter_map(started).collect()
    };
    let mut running = starts(&mut bench);
    assert_eq!(running.len(), bench.swarm.uploads.slots());
    while let Some(upload) = running.pop() {
        assert!(!started.contains(&upload), "nothing is started twice");
        started.push(upload);
        bench.call(|swarm, ctx| swarm.upload_ended(upload, PIECE, ctx));
        running.extend(starts(&mut bench));
    }
    assert_eq!(started.len(), 20);
}

#[test]
fn of_a_partial_download_only_what_is_read_is_asked_for() {
    let mut bench = Bench::new(8);
    bench.call(|swarm, ctx| swarm.set_partial(&REVISION, true, ctx));
    bench.peer(1, "########");
    bench.open();
    assert_eq!(bench.asked(), []);

    let reader = ReaderId(1);
    let read = 2 * PIECE..3 * PIECE + 1;
    bench.call(|swarm, ctx| swarm.reading(reader, BLOB, read, ctx));
    bench.peer(1, "########");
    let asked = bench.asked();
    let mut pieces: Vec<_> = asked.iter().flat_map(|(.., r)| r.start..r.end).collect();
    pieces.sort_unstable();
    assert_eq!(pieces, [2, 3]);

    // Nobody reads on: what is on its way is taken back.
    bench.call(|swarm, ctx| swarm.reading_ended(reader, ctx));
    let cancelled = bench.outputs();
    let cancels = |output: &&Output| matches!(output, Output::CancelPieces { .. });
    assert_eq!(cancelled.iter().filter(cancels).count(), asked.len());

    // Somebody wants all of it.
    bench.call(|swarm, ctx| swarm.set_partial(&REVISION, false, ctx));
    bench.peer(1, "########");
    assert!(!bench.asked().is_empty());
}
