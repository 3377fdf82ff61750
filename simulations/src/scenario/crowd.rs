//! Lets a setup happen and measures it.

use std::collections::BTreeMap;

use fastrand::Rng;
use weft_protocol::{
    id::RevisionId,
    layout::Layout,
    op::{MirrorRecord, MirrorScope},
    service::{Command, Event},
};

use super::{Action, Setup, Whom};
use crate::{
    Behaviour, HostId, Link, Publisher, World,
    clock::SECOND,
    report::{Moment, Report, Role, Run, Share},
    rng,
};

/// Milliseconds for everybody to find the network before the crowd begins.
const SETTLE_MS: u64 = 2_000;
/// Looks at the crowd until the bound.
const LOOKS: f64 = 100.0;
/// Seconds after which a person whose fetch failed asks again.
const TRY_AGAIN_S: u64 = 5;
/// Above so many hosts what a machine exposes is checked by sample.
const CHECK_ALL_MAX: usize = 300;
/// Of so many outputs one is checked then.
const CHECK_EVERY: u64 = 97;

/// A crowd while it fetches.
pub(super) struct Crowd<'a> {
    setup: &'a Setup,
    pub(super) world: World,
    pub(super) rng: Rng,
    publisher: Publisher,
    files: Vec<(String, u64)>,
    revision: RevisionId,
    pub(super) seeds: Vec<HostId>,
    pub(super) peers: Vec<Member>,
    /// Who was told of whom at the start.
    pub(super) bootstraps: Vec<(HostId, HostId)>,
    /// When the crowd began, in microseconds.
    began: u64,
    /// The first seeds leave as soon as the peers have everything between them.
    pub(super) leave_when_covered: bool,
}

/// One host that fetches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) host: HostId,
    behaviour: Behaviour,
    /// When it began, in microseconds.
    began: u64,
    /// When it last asked, in microseconds.
    asked: u64,
    /// It left: nobody waits for it.
    left: bool,
}

impl Setup {
    /// Lets it happen.
    ///
    /// # Panics
    /// If something happens that must not.
    pub fn run(&self) -> Run {
        self.run_traced(None)
    }

    /// Lets it happen and writes down everything that is done.
    ///
    /// # Panics
    /// If something happens that must not.
    pub fn run_traced(&self, trace: Option<Box<dyn std::io::Write>>) -> Run {
        let mut crowd = Crowd::gather(self, trace);
        crowd.begin();
        let moments = crowd.watch();
        crowd.world.run_for(SETTLE_MS);
        crowd.world.check();
        crowd.sum_up(moments)
    }
}

impl<'a> Crowd<'a> {
    /// Adds everybody and lets them find the network.
    fn gather(setup: &'a Setup, trace: Option<Box<dyn std::io::Write>>) -> Self {
        let mut world = World::new(setup.seed);
        if let Some(trace) = trace {
            world.write_trace(trace);
        }
        if setup.peers > CHECK_ALL_MAX {
            world.check_every = CHECK_EVERY;
        }
        let files = setup.files();
        let named: Vec<(&str, u64)> = files
            .iter()
            .map(|(path, size)| (path.as_str(), *size))
            .collect();
        for (path, size) in &named {
            let pieces = Layout::new(*size).pieces();
            world
                .census
                .watch(Publisher::file(path, *size).blake3, pieces);
        }
        let mut publisher = Publisher::new(setup.seed, "crowd", world.now().unix);
        let mut seeds = Vec::new();
        for up in &setup.seed_ups {
            let seed = world.add(if setup.one_machine.is_empty() {
                Link::new(*up, *up)
            } else {
                Link::on_one_machine(*up)
            });
            world.host_mut(seed).dials_max = setup.neighbours;
            if let Some(first) = seeds.first() {
                world.connect(seed, *first);
            }
            seeds.push(seed);
        }
        let origin = HostId(0);
        let empty = RevisionId::new([0; 32]);
        let revision = if setup.mirrors {
            empty
        } else {
            world.publish(origin, &mut publisher, &named)
        };
        let mut crowd = Self {
            setup,
            world,
            rng: rng::stream(setup.seed, "crowd"),
            publisher,
            files,
            revision,
            seeds,
            peers: Vec::new(),
            bootstraps: Vec::new(),
            began: 0,
            leave_when_covered: false,
        };
        for at in 0..setup.peers {
            let behaviour = crowd.behaviour(at);
            crowd.add(behaviour);
        }
        let others: Vec<HostId> = crowd.seeds.iter().copied().skip(1).collect();
        crowd.world.run_for(SETTLE_MS);
        for seed in others {
            crowd.seed(seed);
        }
        crowd
    }

    /// Which behaviour the peer with this number has: adversaries come first.
    fn behaviour(&self, at: usize) -> Behaviour {
        let mut place = at;
        for (share, behaviour) in &self.setup.adversaries {
            let count = self.setup.share(*share);
            if place < count {
                return *behaviour;
            }
            place -= count;
        }
        Behaviour::Honest
    }

    fn add(&mut self, behaviour: Behaviour) -> Member {
        let here = &self.setup.one_machine;
        let link = match here.get(self.peers.len() % here.len().max(1)) {
            Some(up) => Link::on_one_machine(*up),
            None => self.setup.lines.draw(&mut self.rng),
        };
        let host = self.world.add(link);
        let member = self.world.host_mut(host);
        member.dials_max = self.setup.neighbours;
        member.connections_max = self.setup.neighbours * 2;
        self.world.set_behaviour(host, behaviour);
        // Somebody reachable who is there already: the end of a chain of hints, as from a friend or a web page.
        let known: Vec<HostId> = self
            .everybody()
            .into_iter()
            .filter(|other| self.world.host(*other).is_up())
            .collect();
        for _ in 0..2 {
            if let Some(other) = self.rng.choice(&known).copied() {
                self.world.connect(host, other);
                self.bootstraps.push((host, other));
            }
        }
        let member = Member {
            host,
            behaviour,
            began: self.world.now,
            asked: self.world.now,
            left: false,
        };
        self.peers.push(member);
        member
    }

    /// A host that has everything already offers it.
    fn seed(&mut self, host: HostId) {
        let named: Vec<(&str, u64)> = self
            .files
            .iter()
            .map(|(path, size)| (path.as_str(), *size))
            .collect();
        self.world.give_files(host, &named);
        let command = World::fetch_latest(&self.publisher);
        let reply = self.world.run_command(host, command, 60_000);
        assert!(matches!(reply, Some(Ok(_))), "a seed starts: {reply:?}");
    }

    /// Everybody fetches.
    fn begin(&mut self) {
        if self.setup.adversaries_seed {
            for member in self.peers.clone() {
                if !member.behaviour.is_honest() {
                    self.seed(member.host);
                }
            }
        }
        if self.setup.mirrors {
            for member in self.peers.clone() {
                let order = MirrorRecord {
                    scope: MirrorScope::Publisher(self.publisher.id()),
                    bytes_max: None,
                    created: self.world.now().unix,
                };
                self.world.command(member.host, Command::Mirror(order));
            }
            self.world.run_for(SETTLE_MS);
        }
        self.began = self.world.now;
        if self.setup.mirrors {
            let files = self.files.clone();
            let named: Vec<(&str, u64)> = files
                .iter()
                .map(|(path, size)| (path.as_str(), *size))
                .collect();
            self.revision = self.world.publish(HostId(0), &mut self.publisher, &named);
        }
        let seeding = self.setup.adversaries_seed;
        for at in 0..self.peers.len() {
            let now = self.world.now;
            let Some(member) = self.peers.get_mut(at) else {
                continue;
            };
            member.began = now;
            member.asked = now;
            let member = *member;
            if !self.setup.mirrors && (member.behaviour.is_honest() || !seeding) {
                self.world
                    .command(member.host, World::fetch_latest(&self.publisher));
            }
        }
    }

    /// A new host arrives and fetches.
    pub(super) fn join(&mut self) {
        let member = self.add(Behaviour::Honest);
        self.world
            .command(member.host, World::fetch_latest(&self.publisher));
    }

    /// A host leaves for good.
    pub(super) fn leave(&mut self, host: HostId) {
        if self.world.host(host).is_up() {
            self.world.kill(host);
        }
        for member in &mut self.peers {
            if member.host == host {
                member.left = true;
            }
        }
    }

    /// A killed host comes back; its machine takes up what it wanted.
    pub(super) fn restart(&mut self, host: HostId) {
        if !self.world.host(host).is_up() {
            self.world.start(host);
        }
    }

    pub(super) fn everybody(&self) -> Vec<HostId> {
        let peers = self.peers.iter().map(|peer| peer.host);
        self.seeds.iter().copied().chain(peers).collect()
    }

    /// Runs, looks, and lets happen what is planned, until everybody has everything or patience ends.
    fn watch(&mut self) -> Vec<Moment> {
        let bound = self.bound();
        let (step, end) = (bound / LOOKS, bound * self.setup.patience + 300.0);
        let mut moments = vec![self.look(0.0)];
        let mut plan = self.setup.plan.iter().peekable();
        let mut seconds = 0.0;
        while seconds < end {
            // The longer it takes, the less a moment matters.
            let next = seconds + step.max(seconds / LOOKS);
            while let Some((at, action)) = plan.next_if(|(at, _)| *at <= next) {
                self.run_to(*at);
                self.act(*action);
            }
            self.run_to(next);
            seconds = next;
            self.try_again();
            let moment = self.look(seconds);
            if self.leave_when_covered && moment.copies_min > self.seeds.len() as f64 {
                self.leave_when_covered = false;
                self.act(Action::Leave(Whom::Seeds));
            }
            moments.push(moment);
            let waits = plan.peek().is_some();
            if !waits && self.is_over() {
                break;
            }
        }
        moments
    }

    /// Whoever was told that his fetch failed asks again, as people do; who knows nobody any more asks around for
    /// somebody.
    fn try_again(&mut self) {
        let (done, now) = (self.done(), self.world.now);
        for at in 0..self.peers.len() {
            let Some(member) = self.peers.get_mut(at) else {
                continue;
            };
            let patient = now < member.asked + TRY_AGAIN_S * SECOND;
            let host = self.world.host(member.host);
            if patient || !host.is_up() || member.left || done.contains_key(&member.host) {
                continue;
            }
            member.asked = now;
            let member = *member;
            let host = self.world.host(member.host);
            let (lonely, idle) = (host.connected.is_empty(), host.open_commands.is_empty());
            if lonely {
                let everybody = self.everybody();
                let other = self.rng.choice(&everybody).copied();
                if let Some(other) = other.filter(|other| self.world.host(*other).is_up()) {
                    self.world.connect(member.host, other);
                }
            }
            if idle && !self.setup.mirrors {
                let command = World::fetch_latest(&self.publisher);
                self.world.command(member.host, command);
            }
        }
    }

    fn run_to(&mut self, seconds: f64) {
        let end = self.began + crate::flow::whole(seconds * SECOND as f64);
        let millis = end.saturating_sub(self.world.now) / 1_000;
        self.world.run_for(millis);
    }

    fn is_over(&self) -> bool {
        let done = self.done();
        let waited = |member: &&Member| member.behaviour.is_honest() && !member.left;
        let riders = |member: &&Member| member.behaviour == Behaviour::FreeRider;
        let waited = self
            .peers
            .iter()
            .filter(|member| waited(member) || riders(member));
        waited.clone().all(|member| done.contains_key(&member.host))
    }

    /// When each host that has everything got it.
    fn done(&self) -> BTreeMap<HostId, u64> {
        let mut done = BTreeMap::new();
        for (at, host) in self.world.census.completions(&self.revision) {
            done.entry(*host).or_insert(*at);
        }
        done
    }

    fn look(&self, seconds: f64) -> Moment {
        let done = self.done();
        let honest: Vec<&Member> = self.expected().collect();
        let finished = honest
            .iter()
            .filter(|member| done.contains_key(&member.host))
            .count();
        let copies: Vec<u32> = self.world.census.copies().collect();
        let running = self
            .peers
            .iter()
            .filter(|peer| self.world.host(peer.host).is_up())
            .count();
        let seeds = self
            .seeds
            .iter()
            .filter(|seed| self.world.host(**seed).is_up())
            .count();
        let sum: u64 = copies.iter().map(|count| u64::from(*count)).sum();
        let mean = sum as f64 / copies.len().max(1) as f64;
        Moment {
            seconds,
            finished: finished as f64 / honest.len().max(1) as f64,
            held: (mean - seeds as f64).max(0.0) / running.max(1) as f64,
            copies_min: copies.iter().min().copied().map_or(0.0, f64::from),
            copies_mean: mean,
        }
    }

    fn expected(&self) -> impl Iterator<Item = &Member> {
        let waited = |member: &&Member| member.behaviour.is_honest() && !member.left;
        self.peers.iter().filter(waited)
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }

    /// Seconds that the lines alone need.
    fn bound(&self) -> f64 {
        let bytes = self.bytes() as f64;
        let seeds: f64 = self.setup.seed_ups.iter().map(|up| *up as f64).sum();
        let lines = |member: &Member| self.world.host(member.host).link;
        // Adversaries may get nothing at all: what honest hosts need bounds them.
        let fetching = self
            .peers
            .iter()
            .filter(|member| member.behaviour.is_honest());
        let slowest = fetching
            .clone()
            .map(|member| lines(member).takes())
            .fold(f64::INFINITY, f64::min);
        let giving = self
            .peers
            .iter()
            .filter(|member| member.behaviour.is_honest());
        let together: f64 = giving.map(|member| lines(member).sends()).sum();
        let count = fetching.count() as f64;
        (bytes / seeds)
            .max(bytes / slowest)
            .max(count * bytes / (seeds + together))
    }

    fn sum_up(self, moments: Vec<Moment>) -> Run {
        let (bytes, bound, done) = (self.bytes() as f64, self.bound(), self.done());
        let times = |wanted: &dyn Fn(&Member) -> bool| {
            let members = self.peers.iter().filter(|member| wanted(member));
            let took = members.filter_map(|member| {
                let at = done.get(&member.host)?;
                Some(at.saturating_sub(member.began) as f64 / SECOND as f64)
            });
            let mut took: Vec<f64> = took.collect();
            took.sort_by(f64::total_cmp);
            took
        };
        let finished = times(&|member| member.behaviour.is_honest() && !member.left);
        let riders = times(&|member| member.behaviour == Behaviour::FreeRider);
        let role = |host: HostId| {
            let member = self.peers.iter().find(|member| member.host == host);
            match member {
                None => Role::Seed,
                Some(member) if member.behaviour.is_honest() => Role::Peer,
                Some(_) => Role::Adversary,
            }
        };
        let shares: Vec<Share> = self
            .everybody()
            .into_iter()
            .map(|id| {
                let host = self.world.host(id);
                Share {
                    sent: host.uploaded as f64 / bytes,
                    received: host.downloaded as f64 / bytes,
                    role: role(id),
                }
            })
            .collect();
        let honest = self
            .peers
            .iter()
            .filter(|member| member.behaviour.is_honest());
        let (mut downloaded, mut kept) = (0, 0);
        for member in honest.clone() {
            let host = self.world.host(member.host);
            downloaded += host.downloaded;
            kept += host.kept;
        }
        let last = finished.last().copied().unwrap_or(f64::INFINITY);
        let seed_sent: f64 = self
            .seeds
            .iter()
            .map(|seed| self.world.host(*seed).uploaded as f64)
            .sum();
        let report = Report {
            scenario: self.setup.scenario.clone(),
            peers: self.setup.peers,
            pieces: self.setup.pieces,
            seed: self.setup.seed,
            bytes: self.bytes(),
            expected: self.expected().count(),
            completed: finished.len(),
            last_seconds: round(last),
            p50_seconds: round(middle(&finished)),
            bound_seconds: round(bound),
            ratio_last: round(last / bound),
            seed_copies: round(seed_sent / bytes),
            duplicate_fraction: round(downloaded.saturating_sub(kept) as f64 / kept.max(1) as f64),
            riders: riders
                .last()
                .map(|last| (round(*last), round(middle(&riders)))),
            liars_named: self.liars_named(),
            events: self.world.steps(),
            trace_hash: self.world.trace(),
        };
        Run {
            report,
            moments,
            finished,
            shares,
        }
    }

    /// Liars, and how many of them an honest host named.
    fn liars_named(&self) -> Option<(usize, usize)> {
        let lies = |member: &&Member| {
            matches!(
                member.behaviour,
                Behaviour::Corrupt | Behaviour::Poison { .. }
            )
        };
        let liars: Vec<_> = self
            .peers
            .iter()
            .filter(lies)
            .map(|member| self.world.host(member.host).node)
            .collect();
        if liars.is_empty() {
            return None;
        }
        let mut named = std::collections::BTreeSet::new();
        for event in self.world.hosts.iter().flat_map(|host| &host.events) {
            if let Event::PeerCorrupt { peer, .. } = event {
                named.insert(*peer);
            }
        }
        let known = liars.iter().filter(|liar| named.contains(liar)).count();
        let honest = named.iter().filter(|peer| !liars.contains(peer)).count();
        assert_eq!(honest, 0, "nobody honest is called a liar");
        Some((liars.len(), known))
    }
}

/// The middle of an ascending list.
fn middle(ascending: &[f64]) -> f64 {
    let at = ascending.len().saturating_sub(1) / 2;
    ascending.get(at).copied().unwrap_or(f64::INFINITY)
}

/// Rounded to a ten-thousandth, so that reports are short.
fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
