//! Looking for peers that have something: DHT searches and peer exchange.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Output, Service,
    pending::{Ask, Purpose, Sought},
};
use crate::{
    discovery,
    id::{NodeId, RevisionId},
    limits, peer_exchange,
    time::Instant,
    wire,
};

/// One search and its repetitions.
#[derive(Debug)]
struct Search {
    /// When to ask the DHT (again).
    due: Option<Instant>,
    running: bool,
    rounds: u32,
    found: BTreeSet<NodeId>,
    touched: Instant,
    /// When the last round ended.
    ended: Option<Instant>,
}

/// All searches.
#[derive(Debug, Default)]
pub(crate) struct Searches(BTreeMap<Sought, Search>);

/// How often a download that is not finished looks for more providers.
const INTERVAL: Duration = Duration::from_secs(30);
/// A node that just started may not have found its way into the DHT yet: empty searches are repeated after
/// this, then after twice as long, and so on up to [`INTERVAL`].
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// After this a node is no beginner any more, and an empty search means what it says.
const BEGINNER: Duration = Duration::from_secs(15);
/// The interval doubles up to this when nobody is found.
const INTERVAL_MAX: Duration = Duration::from_secs(300);
/// A search that ended less than this ago is not repeated.
const MOMENT: Duration = Duration::from_secs(2);
/// Results of a search are worth remembering this long.
const KEEP: Duration = Duration::from_secs(60);

impl Searches {
    /// Who was found.
    pub(crate) fn found(&self, sought: &Sought) -> BTreeSet<NodeId> {
        self.0
            .get(sought)
            .map_or_else(BTreeSet::new, |search| search.found.clone())
    }

    /// Whether an answer may still come.
    pub(crate) fn is_searching(&self, sought: &Sought) -> bool {
        self.0.get(sought).is_some_and(|search| search.running)
    }

    /// Whether an answer may still come, now or after a pause.
    pub(crate) fn goes_on(&self, sought: &Sought) -> bool {
        let search = self.0.get(sought);
        search.is_some_and(|search| search.running || search.due.is_some())
    }

    /// When the next round is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0
            .values()
            .filter(|s| !s.running)
            .filter_map(|s| s.due)
            .min()
    }
}

impl Service {
    /// Looks for providers now, unless that was done a moment ago.
    pub(super) fn search(&mut self, sought: Sought) {
        let now = self.now.instant;
        if self.searches.0.len() >= limits::SEARCHES_MAX && !self.searches.0.contains_key(&sought) {
            return;
        }
        let search = self.searches.0.entry(sought).or_insert(Search {
            due: Some(now),
            running: false,
            rounds: 0,
            found: BTreeSet::new(),
            touched: now,
            ended: None,
        });
        search.touched = now;
        self.run_searches();
    }

    /// Looks again at once, because somebody asks for it or nothing arrives, unless that was done a moment ago.
    pub(super) fn search_again(&mut self, sought: Sought) {
        let now = self.now.instant;
        let Some(search) = self.searches.0.get_mut(&sought) else {
            return self.search(sought);
        };
        let lately = search.ended.is_some_and(|ended| now.since(ended) < MOMENT);
        if !search.running && !lately {
            search.due = Some(now);
            self.run_searches();
        }
    }

    /// Starts the searches that are due.
    pub(super) fn run_searches(&mut self) {
        let now = self.now.instant;
        let swarm = &self.swarm;
        self.searches.0.retain(|sought, search| {
            let wanted = match sought {
                Sought::Revision(revision) => swarm.is_running(revision),
                Sought::Publisher(_) | Sought::Host(_) => false,
            };
            wanted || search.running || search.due.is_some() || now.since(search.touched) < KEEP
        });
        if self.peers.is_empty() {
            return;
        }
        let due: Vec<Sought> = self
            .searches
            .0
            .iter()
            .filter(|(_, search)| !search.running && search.due.is_some_and(|due| due <= now))
            .map(|(sought, _)| *sought)
            .collect();
        for sought in due {
            let purpose = Purpose::FindProviders(sought);
            let request = self.pending.insert(&mut self.out, purpose);
            let key = match &sought {
                Sought::Revision(revision) => discovery::revision_key(revision),
                Sought::Publisher(publisher) => discovery::publisher_key(publisher),
                Sought::Host(revision) => discovery::host_key(revision),
            };
            self.out.push(Output::FindProviders { request, key });
            if let Some(search) = self.searches.0.get_mut(&sought) {
                search.running = true;
                search.due = None;
                search.rounds = search.rounds.saturating_add(1);
            }
            if let (Sought::Revision(revision), true) = (sought, self.searches.round(&sought) > 1) {
                self.exchange_peers(revision);
            }
        }
    }

    /// A first peer is there: searches that could not start can now.
    pub(super) fn hurry_searches(&mut self) {
        let now = self.now.instant;
        for search in self.searches.0.values_mut() {
            if !search.running && search.found.is_empty() {
                search.due = Some(now);
            }
        }
        self.run_searches();
    }

    /// A search found somebody.
    pub(super) fn providers_found(&mut self, sought: Sought, peers: Vec<NodeId>) {
        let mut news = Vec::new();
        if let Some(search) = self.searches.0.get_mut(&sought) {
            for peer in peers {
                if search.found.len() >= limits::PEERS_PER_DOWNLOAD_MAX {
                    // Those who never came make room for those who may.
                    let known = &self.peers;
                    search.found.retain(|found| known.is_connected(found));
                }
                let room = search.found.len() < limits::PEERS_PER_DOWNLOAD_MAX;
                if room && peer != self.params.node && !self.swarm.is_banned(&peer) {
                    search.found.insert(peer);
                    news.push(peer);
                }
            }
        }
        for peer in &news {
            self.connect(*peer, Vec::new());
        }
        match sought {
            Sought::Revision(revision) => {
                self.swarm(|swarm, ctx| swarm.hint(&revision, news, false, ctx));
            }
            Sought::Publisher(_) => {}
            Sought::Host(revision) => self.tell_seekers(revision),
        }
    }

    /// A search is over.
    pub(super) fn search_finished(&mut self, sought: Sought) {
        let (now, jitter) = (self.now.instant, self.rng.u64(..5_000));
        let beginner = self.is_beginner();
        let hungry = match &sought {
            Sought::Revision(revision) => self.swarm.is_running(revision),
            Sought::Publisher(_) | Sought::Host(_) => false,
        };
        if let Some(search) = self.searches.0.get_mut(&sought) {
            search.running = false;
            search.ended = Some(now);
            search.touched = now;
            let doublings = search.rounds.saturating_sub(1).min(10);
            let (wait, jitter) = if !search.found.is_empty() {
                (INTERVAL, jitter)
            } else if beginner {
                (INTERVAL_MIN.saturating_mul(1 << doublings).min(INTERVAL), 0)
            } else {
                (
                    INTERVAL.saturating_mul(1 << doublings).min(INTERVAL_MAX),
                    jitter,
                )
            };
            let again = hungry || (beginner && search.found.is_empty() && search.rounds < 6);
            search.due = again.then(|| now + wait + Duration::from_millis(jitter));
        }
        match sought {
            Sought::Revision(revision) => {
                let settled = self.is_settled(&sought);
                self.swarm(|swarm, ctx| swarm.hint(&revision, [], settled, ctx));
            }
            Sought::Publisher(_) => {}
            Sought::Host(revision) => self.tell_seekers(revision),
        }
    }

    fn is_beginner(&self) -> bool {
        self.now.instant.since(self.booted) < BEGINNER
    }

    /// Whether the last answer of a search can be taken at its word.
    pub(super) fn is_settled(&self, sought: &Sought) -> bool {
        !self.is_beginner() || !self.searches.found(sought).is_empty()
    }

    /// Asks connected peers who else has or fetches a revision.
    pub(super) fn exchange_peers(&mut self, revision: RevisionId) {
        let most = limits::PEERS_PER_QUESTION_MAX;
        for peer in self.rng.choose_multiple(self.peers.ids(), most) {
            self.ask(
                peer,
                wire::Request::Peers { revision },
                Ask::Peers { revision },
            );
        }
    }

    /// A peer told who else has or fetches a revision.
    pub(super) fn peers_exchanged(
        &mut self,
        teller: NodeId,
        revision: RevisionId,
        peers: Vec<wire::PeerAddresses>,
    ) {
        let peers = peer_exchange::credible(self.peers.remote(&teller), peers);
        let mut hints = Vec::new();
        for wire::PeerAddresses { peer, addresses } in peers {
            if peer != self.params.node && !self.swarm.is_banned(&peer) {
                self.connect(peer, addresses);
                hints.push(peer);
            }
        }
        self.swarm(|swarm, ctx| swarm.hint(&revision, hints, false, ctx));
    }

    /// Dials a peer unless it is connected.
    pub(super) fn connect(&mut self, peer: NodeId, mut addresses: Vec<String>) {
        let unwanted = self.swarm.is_banned(&peer) || self.origins.contains(&peer);
        if peer == self.params.node || self.peers.is_connected(&peer) || unwanted {
            return;
        }
        for address in self.peers.addresses(&peer) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses.truncate(limits::ADDRESSES_PER_PEER_MAX);
        self.out.push(Output::Connect { peer, addresses });
    }
}

impl Searches {
    fn round(&self, sought: &Sought) -> u32 {
        self.0.get(sought).map_or(0, |search| search.rounds)
    }
}
