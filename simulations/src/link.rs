//! How a host is connected: speed, distance, loss, and who can reach it.

/// Segment size of the loss model, in bytes: an Ethernet frame's payload.
const SEGMENT: f64 = 1_460.0;

/// Whether a host can be dialled from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nat {
    /// By anybody.
    #[default]
    Open,
    /// Keeps one mapping for all destinations: hole punching works, except towards a symmetric one.
    Cone,
    /// A mapping for each destination: reaches open hosts only.
    Symmetric,
}

/// How a host is connected.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Bytes per second towards others.
    pub up: u64,
    /// Bytes per second towards the host.
    pub down: u64,
    /// Milliseconds to the backbone.
    pub latency_ms: u64,
    /// On which continent.
    pub region: u8,
    /// Share of segments that are lost on this line.
    pub loss: f64,
    /// Who can dial it.
    pub nat: Nat,
    /// Bytes per second that its disk reads or writes.
    pub disk: u64,
    /// Bytes per second that it can verify.
    pub hash: u64,
}

impl Default for Link {
    /// A good household line.
    fn default() -> Self {
        Self {
            up: 5_000_000,
            down: 12_000_000,
            latency_ms: 10,
            region: 0,
            loss: 0.0,
            nat: Nat::Open,
            disk: 400_000_000,
            hash: 1_000_000_000,
        }
    }
}

/// Bytes per second within one machine.
pub const LOOPBACK: u64 = 1_000_000_000;

/// Milliseconds one way between the backbones of continents: Europe, North America, South America, Asia, Oceania.
const REGIONS: [[u64; 5]; 5] = [
    [0, 45, 100, 85, 130],
    [45, 0, 65, 75, 90],
    [100, 65, 0, 150, 155],
    [85, 75, 150, 0, 60],
    [130, 90, 155, 60, 0],
];
/// How many there are.
pub const REGION_COUNT: u8 = 5;

impl Link {
    /// A line of this speed, in bytes per second.
    pub fn new(up: u64, down: u64) -> Self {
        Self {
            up,
            down,
            ..Self::default()
        }
    }

    /// A process beside the others of its machine, which limits what it sends.
    pub(crate) fn on_one_machine(up: u64) -> Self {
        Self {
            latency_ms: 0,
            ..Self::new(up, LOOPBACK)
        }
    }

    /// Bytes per second that leave the host at most: the line, or the disk it is read from.
    pub(crate) fn sends(&self) -> f64 {
        self.up.min(self.disk) as f64
    }

    /// Bytes per second that the host takes in at most: the line, verification, or the disk.
    pub(crate) fn takes(&self) -> f64 {
        self.down.min(self.disk).min(self.hash) as f64
    }

    /// Milliseconds one way to another host.
    pub(crate) fn latency(&self, other: &Self) -> u64 {
        self.latency_ms + other.latency_ms + Self::between(self.region, other.region)
    }

    /// Milliseconds one way between two continents.
    pub(crate) fn between(a: u8, b: u8) -> u64 {
        let row = REGIONS.get(usize::from(a));
        let far = row.and_then(|row| row.get(usize::from(b)));
        far.copied().unwrap_or(0)
    }

    /// Bytes per second that one connection can carry in spite of loss, after Mathis, Semke, Mahdavi and Ott: segment
    /// size by round trip by the root of the loss.
    pub(crate) fn carries(&self, other: &Self) -> f64 {
        let loss = self.loss + other.loss;
        if loss <= 0.0 {
            return f64::INFINITY;
        }
        let round_trip = self.latency(other).max(1) as f64 * 2.0 / 1_000.0;
        1.22 * SEGMENT / (round_trip * loss.sqrt())
    }

    /// Whether this host can open a connection to the other one, hole punching included.
    pub(crate) fn can_dial(&self, other: &Self) -> bool {
        match (self.nat, other.nat) {
            (_, Nat::Open) | (Nat::Cone, Nat::Cone) => true,
            (Nat::Open, Nat::Cone | Nat::Symmetric)
            | (Nat::Cone, Nat::Symmetric)
            | (Nat::Symmetric, Nat::Cone | Nat::Symmetric) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_distance_bound_a_connection() {
        let (mut near, mut far) = (Link::default(), Link::default());
        assert!(near.carries(&far).is_infinite());
        near.loss = 0.01;
        far.region = 3;
        // 1,460 bytes a segment, 210 ms round trip, one segment in a hundred lost.
        assert!((near.carries(&far) - 84_819.0).abs() < 1.0);
    }

    #[test]
    fn symmetric_hosts_reach_open_ones_only() {
        let of = |nat| Link {
            nat,
            ..Link::default()
        };
        let (open, cone, symmetric) = (of(Nat::Open), of(Nat::Cone), of(Nat::Symmetric));
        assert!(symmetric.can_dial(&open) && cone.can_dial(&cone));
        assert!(!symmetric.can_dial(&cone) && !cone.can_dial(&symmetric) && !open.can_dial(&cone));
    }
}
