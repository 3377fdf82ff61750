//! Downloads that nothing comes of: others are watched, found and asked.

use super::*;

/// Peers whom this node observes now.
fn observed(bench: &Bench) -> BTreeSet<NodeId> {
    let blob = bench.swarm.blobs.get(&BLOB).unwrap();
    blob.neighbours().keys().copied().collect()
}

/// A crowd of peers that have nothing, one that has everything, and who it is.
fn crowd(empty: u8) -> (Bench, NodeId) {
    let mut bench = Bench::new(8);
    for n in 1..=empty {
        bench.peer(n, "........");
    }
    let seed = NodeId::new([200; 32]);
    bench.call(|swarm, ctx| swarm.connected(seed, ctx));
    bench.open();
    assert!(!observed(&bench).contains(&seed), "all places are taken");
    (bench, seed)
}

#[test]
fn who_starves_watches_more_peers() {
    let (mut bench, seed) = crowd(20);
    for _ in 0..8 {
        bench.pass(Duration::from_secs(1));
    }
    assert!(observed(&bench).contains(&seed));
}

#[test]
fn who_has_nothing_gives_way_to_who_was_not_looked_at() {
    let (mut bench, seed) = crowd(120);
    for _ in 0..30 {
        bench.pass(Duration::from_secs(1));
        if observed(&bench).contains(&seed) {
            return;
        }
        // Those who are watched from now on have nothing either.
        for peer in observed(&bench) {
            let nothing = PieceSet::empty(8);
            bench.call(|swarm, ctx| swarm.available(peer, &BLOB, &nothing, ctx));
        }
    }
    panic!("nobody looks at the seed");
}

#[test]
fn nobody_is_let_go_who_has_something_while_it_arrives() {
    let mut bench = Bench::new(399);
    // Peers who lack something themselves are asked for one piece at a time.
    let nearly_all = "#".repeat(398) + ".";
    for n in 1..=20 {
        bench.peer(n, &nearly_all);
    }
    bench.open();
    for n in 100..130 {
        bench.call(|swarm, ctx| swarm.connected(NodeId::new([n; 32]), ctx));
    }
    let before = observed(&bench);
    for _ in 0..20 {
        for (request, _) in bench.swarm.requests.clone().iter() {
            bench.call(|swarm, ctx| swarm.progressed(request, 1_000, ctx));
        }
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(observed(&bench), before);
}

#[test]
fn a_hungry_download_asks_for_others_ever_more_rarely_until_somebody_asks_again() {
    let (mut bench, _) = crowd(20);
    let mut told = Vec::new();
    for second in 1..=100_u64 {
        bench.pass(Duration::from_secs(1));
        if bench.swarm.take_news().contains(&News::Starves(REVISION)) {
            told.push(second);
        }
    }
    let waits: Vec<u64> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(told[0] <= 7, "{told:?}");
    assert!(waits.starts_with(&[5, 10, 20, 40]), "{waits:?}");
    bench.call(|swarm, ctx| swarm.start(REVISION, &[], BTreeSet::new(), vec![], ctx));
    bench.pass(Duration::from_secs(1));
    assert!(bench.swarm.take_news().contains(&News::Starves(REVISION)));
}

#[test]
fn a_crawling_transfer_is_ended_by_a_peer_that_was_quick() {
    let mut bench = Bench::new(5);
    let crawler = bench.peer(1, "....#");
    let quick = bench.peer(2, "####.");
    bench.open();
    let mut crawling = None;
    let mut taken = false;
    for _ in 0..60 {
        for (request, peer, range) in bench.asked() {
            if peer == crawler {
                crawling = Some(request);
                continue;
            }
            taken |= range.start == 4;
            bench.call(|swarm, ctx| swarm.progressed(request, 0, ctx));
            bench.now = bench.now + Duration::from_millis(250);
            bench.end(request, Ok(()));
        }
        let request = crawling.unwrap();
        bench.call(|swarm, ctx| swarm.progressed(request, 250, ctx));
        bench.pass(Duration::from_millis(250));
        let all = PieceSet::full(5);
        bench.call(|swarm, ctx| swarm.available(quick, &BLOB, &all, ctx));
    }
    assert!(taken, "the last piece comes from the quick one");
}
