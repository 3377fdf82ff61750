//! Bytes that are here in other blobs.

use super::*;
use crate::service::CopyPlan;

/// A download of 8 pieces that shares something with another revision.
fn bench() -> Bench {
    let mut bench = Bench::with(8, vec![ObjectId::new([1; 32])]);
    assert!(bench.planning.is_some());
    bench.open();
    bench
}

fn pieces(drawn: &str) -> PieceSet {
    let mut set = PieceSet::empty(8);
    for (at, _) in drawn.match_indices('#') {
        set.insert(u32::try_from(at).unwrap());
    }
    set
}

impl Bench {
    /// Answers the question what can be copied.
    fn plan(&mut self, beside: &str) {
        let plan = CopyPlan {
            blob: BLOB,
            beside: pieces(beside),
            bytes_beside: 32 * 1024,
        };
        let request = self.planning.take().unwrap();
        self.call(|swarm, ctx| swarm.copies_planned(request, vec![plan], ctx));
    }

    /// Requests for groups beside copies, and copies; pieces must not be asked for.
    fn steps(&mut self) -> (Vec<(RequestId, NodeId, PieceSet)>, Vec<RequestId>) {
        let (mut beside, mut copies) = (vec![], vec![]);
        for output in self.outputs() {
            match output {
                Output::FetchBeside {
                    request,
                    peer,
                    pieces,
                    ..
                } => beside.push((request, peer, pieces)),
                Output::CopyBlob { request, .. } => copies.push(request),
                Output::FetchPieces { .. } => panic!("pieces are asked for too early"),
                _ => {}
            }
        }
        (beside, copies)
    }

    fn copied(&mut self, request: RequestId, have: &str) {
        let have = pieces(have);
        self.call(|swarm, ctx| swarm.copy_progressed(request, 1_000, ctx.now));
        self.call(|swarm, ctx| swarm.copy_ended(request, &have, ctx));
    }
}

#[test]
fn nothing_is_asked_before_it_is_known_what_can_be_copied() {
    let mut bench = bench();
    bench.peer(1, "########");
    assert_eq!(bench.asked(), []);
    let request = bench.planning.take().unwrap();
    bench.call(|swarm, ctx| swarm.copies_planned(request, vec![], ctx));
    assert!(!bench.asked().is_empty());
}

#[test]
fn groups_beside_come_first_then_copies_then_the_rest() {
    let mut bench = bench();
    let peer = bench.peer(1, "########");
    bench.plan("##...#..");
    let (beside, copies) = bench.steps();
    let [(request, asked, wanted)] = &beside[..] else {
        panic!("{beside:?}");
    };
    assert_eq!((asked, wanted), (&peer, &pieces("##...#..")));
    assert!(copies.is_empty());
    bench.call(|swarm, ctx| swarm.progressed(*request, 32 * 1024, ctx));
    bench.end(*request, Ok(()));
    let (beside, copies) = bench.steps();
    assert!(beside.is_empty());
    bench.copied(copies[0], "..###.##");
    let ranges: Vec<_> = bench
        .asked()
        .into_iter()
        .map(|(_, _, range)| range)
        .collect();
    assert!(!ranges.is_empty());
    let here = pieces("..###.##");
    assert!(
        ranges
            .iter()
            .all(|range| (range.start..range.end).all(|piece| !here.contains(piece)))
    );
    let progress = bench.swarm.progress(&REVISION).unwrap();
    assert_eq!(
        (progress.bytes_reused, progress.bytes_fetched),
        (1_000, 32 * 1024)
    );
    assert_eq!(progress.bytes_done, 5 * PIECE);
}

#[test]
fn copies_that_prove_themselves_ask_nobody() {
    let mut bench = bench();
    bench.plan("........");
    let (beside, copies) = bench.steps();
    assert!(beside.is_empty());
    bench.copied(copies[0], "########");
    assert_eq!(bench.swarm.take_news(), [News::Complete(REVISION)]);
}

#[test]
fn several_peers_bring_the_groups_between_them() {
    let mut bench = bench();
    bench.peer(1, "##......");
    bench.plan("##...#..");
    let (beside, _) = bench.steps();
    assert_eq!(beside[0].2, pieces("##......"));
    bench.end(beside[0].0, Ok(()));
    assert_eq!(bench.steps(), (vec![], vec![]));
    let second = bench.peer(2, "....####");
    let (beside, _) = bench.steps();
    assert_eq!((beside[0].1, &beside[0].2), (second, &pieces(".....#..")));
    bench.end(beside[0].0, Ok(()));
    assert_eq!(bench.steps().1.len(), 1);
}

#[test]
fn peer_that_lets_us_wait_is_passed_over() {
    let mut bench = bench();
    let first = bench.peer(1, "########");
    bench.plan("#.......");
    let waiting = bench.steps().0.remove(0);
    assert_eq!(waiting.1, first);
    let second = bench.peer(2, "########");
    assert_eq!(bench.steps().0, vec![]);
    let mut asked = vec![];
    for _ in 0..8 {
        bench.pass(Duration::from_millis(250));
        asked.extend(bench.steps().0);
    }
    let [(request, peer, _)] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(*peer, second);
    // The end of the first changes nothing.
    bench.end(waiting.0, Err(TransferError::Cancelled));
    assert_eq!(bench.steps(), (vec![], vec![]));
    bench.end(*request, Ok(()));
    assert_eq!(bench.steps().1.len(), 1);
}

#[test]
fn copies_go_without_what_nobody_brings() {
    let mut bench = bench();
    for n in 1..=4 {
        bench.peer(n, "########");
    }
    bench.plan("#.......");
    for _ in 0..4 {
        let (beside, copies) = bench.steps();
        assert!(copies.is_empty());
        bench.end(beside[0].0, Err(TransferError::Unavailable));
    }
    assert_eq!(bench.steps().1.len(), 1);

    let mut bench = self::bench();
    bench.peer(1, ".#######");
    bench.plan("#.......");
    for _ in 0..4 {
        assert_eq!(bench.steps(), (vec![], vec![]));
        bench.pass(Duration::from_secs(2));
    }
    let (_, copies) = bench.steps();
    bench.copied(copies[0], "........");
    assert!(!bench.asked().is_empty());
}

#[test]
fn copy_ends_with_the_download() {
    let mut bench = bench();
    bench.plan("........");
    let (_, copies) = bench.steps();
    bench.call(|swarm, ctx| swarm.stop(&REVISION, ctx));
    let cancelled = bench
        .outputs()
        .into_iter()
        .any(|output| matches!(output, Output::CancelPieces { request } if request == copies[0]));
    assert!(cancelled);
    bench.call(|swarm, ctx| swarm.copy_ended(copies[0], &pieces("########"), ctx));
}
