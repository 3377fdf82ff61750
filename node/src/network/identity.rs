//! A node's one key in its two dresses: [`NodeId`] (ours) and [`PeerId`] (libp2p's).
//!
//! Only ed25519 keys are short enough to be written out inside a peer id, so either form can be had
//! from the other without asking anybody. Peers with other keys are turned away by [`super::gate`].

use libp2p::{
    PeerId,
    identity::{Keypair, PublicKey, ed25519},
};
use weft_protocol::id::NodeId;

/// Multihash code of a peer id that holds the key itself instead of its hash.
const IDENTITY_CODE: u64 = 0;

/// The libp2p keypair of a node whose secret is `seed`.
pub fn keypair(seed: &[u8; 32]) -> Keypair {
    let secret =
        ed25519::SecretKey::try_from_bytes(*seed).expect("an ed25519 secret is any 32 bytes");
    ed25519::Keypair::from(secret).into()
}

/// The node id of a peer, unless its key is not ed25519.
pub fn node_id(peer: &PeerId) -> Option<NodeId> {
    let multihash = peer.as_ref();
    if multihash.code() != IDENTITY_CODE {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(multihash.digest()).ok()?;
    // One spelling per key: whatever decodes must encode to the same peer id again.
    if key.to_peer_id() != *peer {
        return None;
    }
    Some(NodeId::new(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The peer id of a node, unless the id is not a point on the curve.
pub fn peer_id(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_and_peer_id_are_one_key() {
        let keypair = keypair(&[7; 32]);
        let peer = keypair.public().to_peer_id();
        let node = node_id(&peer).unwrap();
        assert_eq!(
            *node.as_bytes(),
            keypair.try_into_ed25519().unwrap().public().to_bytes()
        );
        assert_eq!(peer_id(&node), Some(peer));
    }

    #[test]
    fn peer_id_that_hides_its_key_has_no_node_id() {
        // A random peer id is a bare hash, like that of an RSA key.
        let hashed = PeerId::random();
        assert!(hashed.as_ref().code() != IDENTITY_CODE || node_id(&hashed).is_none());
        let sha256 = libp2p::multihash::Multihash::<64>::wrap(0x12, &[1; 32]).unwrap();
        assert_eq!(node_id(&PeerId::from_multihash(sha256).unwrap()), None);
    }
}
