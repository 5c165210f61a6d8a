//! Which server of an application is asked first, and what it is called.

use super::*;

fn upstream(servers: u16) -> Upstream {
    let target = |port| Arc::new(Target::new("127.0.0.1", port, None).unwrap());
    let second = Duration::from_secs(1);
    let limits = TimeLimits { connect: second, first_byte: second, stall: second };
    Upstream::new((1..=servers).map(target).collect(), limits)
}

fn order(upstream: &Upstream) -> Vec<usize> {
    upstream.order().map(|(index, _)| index).collect()
}

#[test]
fn servers_are_asked_in_turn_and_what_failed_comes_last_for_a_while() {
    let upstream = upstream(3);
    assert_eq!([order(&upstream), order(&upstream), order(&upstream)], [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    upstream.set_aside(0);
    assert_eq!([order(&upstream), order(&upstream), order(&upstream)], [[1, 2, 0], [1, 2, 0], [2, 1, 0]]);
    upstream.set_aside(2);
    assert_eq!([order(&upstream), order(&upstream), order(&upstream)], [[1, 0, 2], [1, 2, 0], [1, 2, 0]]);
}

#[test]
fn a_server_that_was_set_aside_has_its_turn_again() {
    let mut upstream = upstream(2);
    upstream.set_aside(0);
    assert_eq!(order(&upstream), [1, 0]);
    let Some(earlier) = upstream.began.checked_sub(SET_ASIDE + Duration::from_secs(1)) else { return };
    upstream.began = earlier;
    assert_eq!([order(&upstream), order(&upstream)], [[1, 0], [0, 1]]);
}

#[test]
fn in_host_a_server_has_its_port_where_that_is_not_its_schemes_own() {
    let trust = TlsTrust::system().unwrap();
    let called = |host: &str, port, tls: bool| {
        let target = Target::new(host, port, tls.then(|| trust.clone())).unwrap();
        target.in_host().to_owned()
    };
    for (host, port, tls, expected) in [
        ("app.test", 80, false, "app.test"),
        ("app.test", 443, false, "app.test:443"),
        ("app.test", 8080, false, "app.test:8080"),
        ("app.test", 443, true, "app.test"),
        ("app.test", 80, true, "app.test:80"),
        ("10.0.0.80", 80, false, "10.0.0.80"),
        ("[::1]", 80, false, "[::1]"),
        ("[::80]", 7001, false, "[::80]:7001"),
    ] {
        assert_eq!(called(host, port, tls), expected);
    }
}

#[test]
fn servers_beyond_the_sixty_fourth_keep_their_turn() {
    let upstream = upstream(70);
    for index in 0..70 {
        upstream.set_aside(index);
    }
    assert_eq!(order(&upstream), (64..70).chain(0..64).collect::<Vec<_>>());
    let mut all = order(&upstream);
    all.sort_unstable();
    assert_eq!(all, (0..70).collect::<Vec<_>>(), "each once");
}
