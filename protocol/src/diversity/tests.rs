//! Groups and reaches of addresses from ranges set aside for documentation, and from well-known ones.

use proptest::prelude::*;

use super::*;
use crate::limits::{ROUTING_PER_GROUP_AND_BUCKET_MAX, ROUTING_PER_GROUP_MAX};

fn ip_of(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn check(text: &str, expected: Reach) {
    assert_eq!(reach(ip_of(text)), expected, "{text}");
    assert_eq!(group(ip_of(text)).is_some(), expected == Reach::World);
}

#[test]
fn private_and_loopback_ranges_have_no_group() {
    for text in ["127.0.0.1", "127.255.0.1", "0.0.0.0", "::1", "::"] {
        check(text, Reach::Machine);
    }
    for text in [
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.7.7",
        "169.254.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "fd00::1",
        "fc12::1",
        "fe80::1",
        "fec0::1",
        "::ffff:192.168.1.1",
        "2002:0a01:0203::1",
    ] {
        check(text, Reach::Site);
    }
    for text in [
        "198.51.100.7",
        "172.32.0.1",
        "172.15.0.1",
        "100.63.0.1",
        "100.128.0.1",
        "2001:db8::1",
        "::ffff:198.51.100.7",
    ] {
        check(text, Reach::World);
    }
}

#[test]
fn neighbours_share_a_group_and_others_do_not() {
    let same = |a: &str, b: &str| group(ip_of(a)) == group(ip_of(b));
    assert!(same("198.51.100.1", "198.51.100.254"));
    assert!(!same("198.51.100.1", "198.51.101.1"));
    assert!(same("2001:db8:1:1::1", "2001:db8:1:ffff::2"));
    assert!(!same("2001:db8:1::1", "2001:db8:2::1"));
}

#[test]
fn wrapped_ipv4_belongs_to_the_owner_of_the_ipv4_address() {
    let plain = group(ip_of("198.51.100.1"));
    for text in [
        "::ffff:198.51.100.2",
        "64:ff9b::198.51.100.3",
        "2002:c633:6404:77::1",
    ] {
        assert_eq!(group(ip_of(text)), plain, "{text}");
    }
}

#[test]
fn only_addresses_that_begin_with_an_ip_have_one() {
    assert_eq!(ip("/ip4/198.51.100.7/tcp/1"), Some(ip_of("198.51.100.7")));
    assert_eq!(ip("/ip6/2001:db8::1/tcp/1"), Some(ip_of("2001:db8::1")));
    for text in [
        "",
        "/",
        "/ip4",
        "/ip4/",
        "/ip4/1.2.3",
        "ip4/1.2.3.4",
        "/dns4/example.org/tcp/1",
        "/ip6/1.2.3.4",
    ] {
        assert_eq!(ip(text), None, "{text}");
    }
}

#[test]
fn strangers_from_afar_do_not_name_addresses_here() {
    assert!(!Reach::World.may_name(Reach::Site));
    assert!(!Reach::World.may_name(Reach::Machine));
    assert!(!Reach::Site.may_name(Reach::Machine));
    assert!(Reach::Site.may_name(Reach::World));
    assert!(Reach::Machine.may_name(Reach::Machine));
}

/// Public addresses of few networks, so that they meet often.
fn public() -> impl Strategy<Value = IpAddr> {
    let v4 = (0..4_u8, any::<u8>()).prop_map(|(c, d)| IpAddr::from([198, 51, 96 + c, d]));
    let v6 = (0..4_u16, any::<u16>(), any::<u16>())
        .prop_map(|(c, d, h)| IpAddr::from([0x2001, 0xdb8, c, d, 0, 0, 0, h]));
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn no_order_of_arrivals_gets_past_the_bounds_of_the_table(
        arrivals in prop::collection::vec((public(), 0..6_u32), 0..200),
    ) {
        let mut table = Vec::new();
        for (ip, bucket) in arrivals {
            let entry = (bucket, group(ip));
            if routing_has_room(entry.1, bucket, table.iter().copied()) {
                table.push(entry);
            }
        }
        for (bucket, of) in &table {
            let alike = table.iter().filter(|(_, other)| other == of);
            prop_assert!(alike.clone().count() <= ROUTING_PER_GROUP_MAX);
            let here = alike.filter(|(other, _)| other == bucket).count();
            prop_assert!(here <= ROUTING_PER_GROUP_AND_BUCKET_MAX);
        }
    }

    #[test]
    fn flood_of_one_network_takes_nobody_elses_place(
        flood in prop::collection::vec((any::<u8>(), 0..6_u32), 0..100),
        bucket in 0..6_u32,
    ) {
        let mut table = Vec::new();
        for (host, bucket) in flood {
            let of = group(IpAddr::from([198, 51, 100, host]));
            if routing_has_room(of, bucket, table.iter().copied()) {
                table.push((bucket, of));
            }
        }
        let honest = group(ip_of("203.0.113.5"));
        prop_assert!(routing_has_room(honest, bucket, table.iter().copied()));
        prop_assert!(routing_has_room(None, bucket, table.iter().copied()));
        prop_assert!(table.len() <= ROUTING_PER_GROUP_MAX);
    }
}
