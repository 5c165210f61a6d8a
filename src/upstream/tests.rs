//! Which server of an application is asked first.

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
