//! From 1 to 2: a remembered peer also has a standing.

use minicbor::{Decoder, decode::Error as ReadError};
use weft_protocol::{id::NodeId, op::PeerRecord, time::Timestamp};

use crate::{
    error::Error,
    record::{self, array, corrupt, list},
    schema::Family,
    tables::{Tables, Write},
};

/// Rewrites the peers of version 1, who start with no standing: nobody knows who dialled whom.
///
/// # Errors
/// [`Error::Corrupt`] for a record that version 1 did not write; failures of the storage.
pub(super) fn gain_standing<T: Tables>(tables: &T) -> Result<Vec<Write>, Error> {
    let entries = tables.scan(Family::Peers, &[])?;
    entries
        .into_iter()
        .map(|(key, value)| {
            let record = read(&mut Decoder::new(&value))
                .map_err(|error| corrupt(Family::Peers, &error.to_string()))?;
            Ok(Write {
                family: Family::Peers,
                key,
                value: Some(record::encode(&record)),
            })
        })
        .collect()
}

fn read(d: &mut Decoder<'_>) -> Result<PeerRecord, ReadError> {
    array(d, 3)?;
    let peer: NodeId = d.decode()?;
    let addresses = list(d, |d| d.str().map(str::to_owned))?;
    let seen = Timestamp(d.u64()?);
    Ok(PeerRecord {
        peer,
        addresses,
        seen,
        since: seen,
        reached: 0,
        failures: 0,
        anchor: false,
    })
}

#[cfg(test)]
mod tests {
    use minicbor::Encoder;

    use super::*;
    use crate::{
        mem::MemoryTables,
        migrate::{prepare, stamp, version},
        schema::VERSION,
        tables::Durability,
    };

    #[test]
    fn peers_of_version_one_are_remembered() {
        let peer = NodeId::new([7; 32]);
        let mut old = Vec::new();
        let mut e = Encoder::new(&mut old);
        e.array(3).unwrap().encode(peer).unwrap();
        e.array(1).unwrap().str("/ip4/198.51.100.1/tcp/1").unwrap();
        e.u64(42).unwrap();
        let write = Write {
            family: Family::Peers,
            key: peer.as_bytes().to_vec(),
            value: Some(old),
        };
        let tables = MemoryTables::default();
        tables
            .write(vec![stamp(1), write], Durability::Synced)
            .unwrap();
        prepare(&tables).unwrap();
        assert_eq!(version(&tables), Ok(Some(VERSION)));
        let value = tables.get(Family::Peers, peer.as_bytes()).unwrap().unwrap();
        let record: PeerRecord = record::decode(Family::Peers, &value).unwrap();
        assert_eq!(record.seen, Timestamp(42));
        assert_eq!(record.addresses, ["/ip4/198.51.100.1/tcp/1"]);
        assert_eq!((record.reached, record.anchor), (0, false));
    }
}
