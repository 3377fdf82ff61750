use super::*;
use crate::id::{NodeId, ObjectId};

fn hello(addresses: usize, address: &str, agent: &str) -> Hello {
    Hello {
        data_addresses: vec![address.to_owned(); addresses],
        agent: agent.to_owned(),
    }
}

fn refused<T: Message>(message: &T) -> bool {
    decode::<T>(&encode(message)).is_err()
}

#[test]
fn hello_is_bounded() {
    assert!(!refused(&Request::Hello(hello(
        16,
        "127.0.0.1:4778",
        "weft/0.1"
    ))));
    assert!(refused(&Request::Hello(hello(
        17,
        "127.0.0.1:4778",
        "weft/0.1"
    ))));
    assert!(refused(&Request::Hello(hello(1, &"x".repeat(257), ""))));
    assert!(refused(&Request::Hello(hello(0, "", &"a".repeat(65)))));
    assert!(refused(&Request::Hello(hello(0, "", "a\u{1b}[2J"))));
}

#[test]
fn lists_are_bounded() {
    let ids = |count| Response::Log {
        ids: vec![ObjectId::new([1; 32]); count],
    };
    assert!(!refused(&ids(limits::LOG_IDS_PER_RESPONSE_MAX)));
    assert!(refused(&ids(limits::LOG_IDS_PER_RESPONSE_MAX + 1)));
    let name: RepositoryName = "a".parse().expect("valid");
    let names = |count| Response::Publisher {
        names: vec![name.clone(); count],
    };
    assert!(!refused(&names(limits::NAMES_PER_RESPONSE_MAX)));
    assert!(refused(&names(limits::NAMES_PER_RESPONSE_MAX + 1)));
    let peer = PeerAddresses {
        peer: NodeId::new([1; 32]),
        addresses: vec![],
    };
    let peers = |count| Response::Peers {
        peers: vec![peer.clone(); count],
    };
    assert!(!refused(&peers(limits::PEERS_PER_RESPONSE_MAX)));
    assert!(refused(&peers(limits::PEERS_PER_RESPONSE_MAX + 1)));
}

#[test]
fn largest_object_fits_one_response() {
    let domain = codec::domain::<crate::manifest::Manifest>().len();
    let preimage = vec![0; limits::MANIFEST_LEN_MAX + domain];
    assert!(!refused(&Response::Object { preimage }));
    let preimage = vec![0; Response::LEN_MAX];
    assert!(refused(&Response::Object { preimage }));
}

#[test]
fn absent_options_are_left_out() {
    let repository = RepositoryId {
        publisher: PublisherId::new([1; 32]),
        name: "a".parse().expect("valid"),
    };
    let with = encode(&Request::Repository {
        repository: repository.clone(),
        have: Some(0),
    });
    let without = encode(&Request::Repository {
        repository,
        have: None,
    });
    assert_eq!(with.len(), without.len() + 1);
}

#[test]
fn unknown_tags_and_counts_are_refused() {
    for bytes in [
        &[0x81, 0x09][..],
        &[0x80],
        &[0x82, 0x07, 0x00],
        &[0x81, 0x00],
        &[0x07],
    ] {
        assert!(decode::<Response>(bytes).is_err(), "{bytes:02x?}");
        assert!(decode::<Request>(bytes).is_err(), "{bytes:02x?}");
        assert!(decode::<Announcement>(bytes).is_err(), "{bytes:02x?}");
    }
    assert_eq!(decode::<Response>(&[0x81, 0x07]), Ok(Response::NotFound));
    assert!(decode::<Response>(&[0x81, 0x18, 0x07]).is_err());
}
