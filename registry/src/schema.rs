//! Where each kind of fact lies.
//!
//! One [`Family`] is one RocksDB column family. The names and the key and record forms behind them are
//! version [`VERSION`] of the schema; changing any of them means a new version and a step in
//! [`crate::migrate`].

/// The schema version this program reads and writes.
pub const VERSION: u32 = 3;

/// The key in [`Family::Meta`] that holds the schema version as four big-endian bytes.
pub const VERSION_KEY: &[u8] = b"schema";

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The schema version.
    Meta,
    /// Publisher → identity log.
    Identities,
    /// Publisher → equivocation proof of a forked identity.
    IdentityForks,
    /// Repository → its display name, tip and number of leaves.
    Repositories,
    /// Repository, index → accepted head.
    Heads,
    /// Repository, index → head id.
    Leaves,
    /// Repository → newest freshness statement.
    Freshness,
    /// Repository → equivocation proof of a frozen repository.
    Equivocations,
    /// Object id → preimage.
    Objects,
    /// Repository, revision → what this node does with it.
    Revisions,
    /// Scope → mirror order.
    Mirrors,
    /// Node → addresses and standing of a peer.
    Peers,
    /// DHT key → record.
    DhtRecords,
    /// DHT key, peer → provider.
    DhtProviders,
    /// Local name → publisher or repository.
    Petnames,
    /// Key → small setting.
    Settings,
    /// Blob → what is here of it.
    Blobs,
    /// Blob → its hash tree, where that is small.
    Outboards,
}

impl Family {
    /// Every family, in the order of their declaration.
    pub const ALL: [Self; 18] = [
        Self::Meta,
        Self::Identities,
        Self::IdentityForks,
        Self::Repositories,
        Self::Heads,
        Self::Leaves,
        Self::Freshness,
        Self::Equivocations,
        Self::Objects,
        Self::Revisions,
        Self::Mirrors,
        Self::Peers,
        Self::DhtRecords,
        Self::DhtProviders,
        Self::Petnames,
        Self::Settings,
        Self::Blobs,
        Self::Outboards,
    ];

    /// The column family's name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            // RocksDB always has a family of this name; using it spares one.
            Self::Meta => "default",
            Self::Identities => "identities",
            Self::IdentityForks => "identity_forks",
            Self::Repositories => "repositories",
            Self::Heads => "heads",
            Self::Leaves => "leaves",
            Self::Freshness => "freshness",
            Self::Equivocations => "equivocations",
            Self::Objects => "objects",
            Self::Revisions => "revisions",
            Self::Mirrors => "mirrors",
            Self::Peers => "peers",
            Self::DhtRecords => "dht_records",
            Self::DhtProviders => "dht_providers",
            Self::Petnames => "petnames",
            Self::Settings => "settings",
            Self::Blobs => "blobs",
            Self::Outboards => "outboards",
        }
    }
}
