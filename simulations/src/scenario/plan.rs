//! What happens to a crowd while it fetches.

use fastrand::Rng;

use super::crowd::Crowd;
use crate::HostId;

/// Something that happens to hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Processes die.
    Kill(Whom),
    /// Processes that died come back.
    Restart(Whom),
    /// Hosts leave for good: nobody waits for them.
    Leave(Whom),
    /// A new host arrives and fetches.
    Join,
    /// Processes die at one of the next writes and come back soon.
    Crash(Whom),
    /// Disks are full, or have room again.
    DiskFull(Whom, bool),
    /// Wall clocks jump by so many seconds.
    ClockJump(Whom, i64),
    /// So great a share of the hosts is cut off from the others.
    Divide(f64),
    /// The cut is mended.
    Heal,
    /// The first seeds leave as soon as the peers have everything between them.
    LeaveWhenCovered,
    /// Speeds change to so many bytes per second up and down.
    Speed(Whom, u64, u64),
}

/// Which hosts something happens to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Whom {
    /// The first seeds.
    Seeds,
    /// The peer with this number.
    Peer(usize),
    /// A random peer.
    Anybody,
}

impl Crowd<'_> {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Kill(whom) => self.each(whom, |crowd, host| {
                if crowd.world.host(host).is_up() {
                    crowd.world.kill(host);
                }
            }),
            Action::Restart(whom) => self.each(whom, Self::restart),
            Action::Leave(whom) => self.each(whom, |crowd, host| {
                crowd.leave(host);
            }),
            Action::Join => self.join(),
            Action::Crash(whom) => self.each(whom, |crowd, host| {
                let after = crowd.rng.u32(..20);
                crowd.world.host_mut(host).crash_after_writes = Some(after);
            }),
            Action::DiskFull(whom, full) => self.each(whom, |crowd, host| {
                crowd.world.host_mut(host).disk_full = full;
            }),
            Action::ClockJump(whom, seconds) => self.each(whom, |crowd, host| {
                crowd.world.host_mut(host).clock_offset_s += seconds;
            }),
            Action::Divide(share) => {
                let mut hosts = self.everybody();
                self.rng.shuffle(&mut hosts);
                let cut = crate::flow::whole(hosts.len() as f64 * share);
                hosts.truncate(usize::try_from(cut).unwrap_or(usize::MAX));
                self.world.divide(&hosts);
            }
            Action::Heal => {
                let links = self.bootstraps.clone();
                self.world.heal(&links);
            }
            Action::LeaveWhenCovered => self.leave_when_covered = true,
            Action::Speed(whom, up, down) => self.each(whom, |crowd, host| {
                crowd.world.set_speed(host, up, down);
            }),
        }
    }

    fn each(&mut self, whom: Whom, act: impl Fn(&mut Self, HostId)) {
        let hosts = match whom {
            Whom::Seeds => self.seeds.clone(),
            Whom::Peer(at) => self
                .peers
                .get(at)
                .map(|peer| peer.host)
                .into_iter()
                .collect(),
            Whom::Anybody => {
                let at = self.rng.usize(..self.peers.len().max(1));
                self.peers
                    .get(at)
                    .map(|peer| peer.host)
                    .into_iter()
                    .collect()
            }
        };
        for host in hosts {
            act(self, host);
        }
    }
}

/// Moments of a Poisson process: so many events between two moments, in order.
pub(super) fn moments(rng: &mut Rng, count: usize, from: f64, to: f64) -> Vec<f64> {
    let mut at: Vec<f64> = (0..count).map(|_| from + rng.f64() * (to - from)).collect();
    at.sort_by(f64::total_cmp);
    at
}
