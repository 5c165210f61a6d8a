//! What is answered without the evaluator is what the evaluator answers.

use super::*;

/// Claims under `a`, `b` and `o.c`, as they may be.
fn value() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("7".to_owned()),
        Just("1.50".to_owned()),
        Just(r#""x""#.to_owned()),
        Just(r#""y""#.to_owned()),
        Just(r#""7""#.to_owned()),
        Just(r#""1.50""#.to_owned()),
        Just("{}".to_owned()),
    ];
    prop_oneof![
        one.clone(),
        proptest::collection::vec(one.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        proptest::collection::vec(prop_oneof![Just(r#""x""#), Just(r#""y""#)], 0..4)
            .prop_map(|items| format!("[{}]", items.join(","))),
        one.prop_map(|value| format!(r#"{{"c":{value}}}"#)),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let claim =
        || prop_oneof![Just("user.a"), Just("user['b']"), Just("user.o.c"), Just("user.gone"), Just("user.a.c")];
    let text = || prop_oneof![Just("'x'"), Just("'7'"), Just("'1.50'"), Just("''")];
    let leaf = prop_oneof![
        (text(), claim()).prop_map(|(text, claim)| format!("{text} in {claim}")),
        (text(), claim()).prop_map(|(text, claim)| format!("{claim} == {text}")),
        (text(), claim()).prop_map(|(text, claim)| format!("{text} != {claim}")),
        (text(), claim()).prop_map(|(text, claim)| format!("{claim}.exists(g, g == {text})")),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one}) && ({other})")),
            (inner.clone(), inner).prop_map(|(one, other)| format!("({one}) || ({other})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn t02_a_condition_means_the_same_with_and_without_the_evaluator(
        a in value(), b in value(), c in value(), condition in condition(),
    ) {
        let claims = format!(r#"{{"a":{a},"b":{b},"o":{{"c":{c}}}}}"#);
        with_view(&claims, |view| {
            let condition = compiled(&condition);
            let plainly = condition.plain.as_ref().and_then(|plain| plain.test(view.claims));
            if let Some(truth) = plainly {
                prop_assert_eq!(condition.evaluate(view, truth_of), Ok(truth));
            }
            Ok(())
        })?;
    }
}

#[test]
fn what_is_plain_needs_no_evaluator() {
    let all = [
        ("'staff' in user.groups", true),
        ("user.groups.exists(g, g == 'nobody')", false),
        ("user.address.city == 'Wien' && !('nobody' in user.groups)", true),
        ("'x' in user.empty || user['name'] != 'Zoë'", true),
        ("'staff' in user.groups || user.missing == 'x'", true),
        ("user.missing == 'x' && 'nobody' in user.groups", false),
    ];
    for (condition, expected) in all {
        with_view(ADA, |view| {
            assert_eq!(compiled(condition).test(view), Ok(expected), "{condition}");
            assert!(!view.bound.is_bound(), "{condition}");
        });
    }
}

#[test]
fn what_is_in_doubt_is_left_to_the_evaluator() {
    let all =
        ["'x' in user.missing", "'x' in user.email", "user.none == 'x'", "user.rate == '1.50'", "'3' in user.address"];
    for condition in all {
        let known = with_view(ADA, |view| compiled(condition).known_plainly(view));
        assert_eq!(known, None, "{condition}");
    }
}
