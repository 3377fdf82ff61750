//! Hosts that do not serve as they should. Their machines are the real ones; the driver lies for them.

use weft_protocol::piece_set::PieceSet;

/// How a host serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// As it should.
    #[default]
    Honest,
    /// Sends bytes that do not verify.
    Corrupt,
    /// Sends bytes of which one chunk group in so many does not verify.
    Poison {
        /// One in so many.
        one_in: u32,
    },
    /// Accepts transfers and never sends a byte.
    Silent,
    /// Sends so many bytes a second to each peer, and no more.
    Drip {
        /// Bytes per second.
        bytes: u32,
    },
    /// Says it has every piece and refuses what it has not.
    Liar,
    /// Takes and gives nothing: claims to have no piece.
    FreeRider,
    /// One of many names of one attacker: claims to have everything, accepts transfers and never sends a byte.
    Sybil,
}

/// Bytes of a chunk group, the grain of verification.
const GROUP: u64 = 16 * 1024;

impl Behaviour {
    /// What it says it has, given what it has.
    pub(crate) fn claims(self, have: PieceSet) -> PieceSet {
        match self {
            Self::Honest
            | Self::Corrupt
            | Self::Poison { .. }
            | Self::Silent
            | Self::Drip { .. } => have,
            Self::Liar | Self::Sybil => PieceSet::full(have.pieces()),
            Self::FreeRider => PieceSet::empty(have.pieces()),
        }
    }

    /// Whether what it says it has grows with what it has.
    pub(crate) fn tells_news(self) -> bool {
        !matches!(self, Self::Liar | Self::FreeRider | Self::Sybil)
    }

    /// Whether it sends anything to anybody.
    pub(crate) fn serves(self) -> bool {
        !matches!(self, Self::Silent | Self::FreeRider | Self::Sybil)
    }

    /// Bytes per second that it sends to one peer at most.
    pub(crate) fn cap(self) -> f64 {
        match self {
            Self::Drip { bytes } => f64::from(bytes),
            Self::Honest
            | Self::Corrupt
            | Self::Poison { .. }
            | Self::Silent
            | Self::Liar
            | Self::FreeRider
            | Self::Sybil => f64::INFINITY,
        }
    }

    /// Good bytes before the first bad chunk group of a transfer, if it has one.
    pub(crate) fn good_bytes(self, total: u64, rng: &mut fastrand::Rng) -> Option<u64> {
        match self {
            Self::Corrupt => Some(0),
            Self::Poison { one_in } => {
                let groups = total.div_ceil(GROUP);
                let bad = (0..groups).find(|_| rng.u32(..one_in.max(1)) == 0)?;
                Some(bad * GROUP)
            }
            Self::Honest
            | Self::Silent
            | Self::Drip { .. }
            | Self::Liar
            | Self::FreeRider
            | Self::Sybil => None,
        }
    }

    /// Whether it is what everybody should be.
    pub fn is_honest(self) -> bool {
        self == Self::Honest
    }
}
