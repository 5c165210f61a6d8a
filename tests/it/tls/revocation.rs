//! Which revocation list speaks for a certificate, and until when an authority is one.

use rcgen::CrlScope;

use super::Site;
use super::clients::{attempt, device, named, site_of};
use crate::harness::tls::{Authority, Certified};

/// A client with this number.
fn numbered(authority: &Authority, serial: u64) -> Certified {
    authority.sign(device(named(&format!("laptop-{serial}")), serial))
}

/// A site that takes clients of these authorities only, with these lists.
async fn site(ca: &str, lists: &[&str]) -> Site {
    let mut bundle = Authority::new();
    bundle.pem = ca.to_owned();
    let names: Vec<_> = (0..lists.len()).map(|index| format!("{index}.crl")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(lists.iter().copied()).collect();
    let listed = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let crl = if lists.is_empty() { String::new() } else { format!(", crl = [{listed}]") };
    site_of(Authority::new(), &bundle, "required", &crl, &files).await
}

#[tokio::test]
async fn of_two_lists_of_an_authority_the_newer_one_counts_wherever_it_stands() {
    let clients = Authority::new();
    let old = clients.revoke_some(&[1], (2020, 2999), None);
    let new = clients.revoke_some(&[13], (2021, 2999), None);
    let (first_old, first_new) = (format!("{old}{new}"), format!("{new}{old}"));
    for lists in [&[&*old, &*new][..], &[&*new, &*old], &[&*first_old], &[&*first_new]] {
        let site = site(&clients.pem, lists).await;
        assert_eq!(attempt(&site, &numbered(&clients, 13)).await, None);
        site.failed("certificate_revoked", 1.0).await;
        // What the older one says is over: a certificate may be taken off a list again.
        assert_eq!(attempt(&site, &numbered(&clients, 1)).await, Some(200));
    }
}

#[tokio::test]
async fn a_newer_list_for_other_certificates_leaves_the_older_one_in_force() {
    let clients = Authority::new();
    let whole = clients.revoke_some(&[13], (2020, 2999), None);
    let of_authorities = clients.revoke_some(&[], (2021, 2999), Some(CrlScope::CaCertsOnly));
    let of_clients = clients.revoke_some(&[14], (2022, 2999), Some(CrlScope::UserCertsOnly));
    let site_of_two = site(&clients.pem, &[&whole, &of_authorities]).await;
    assert_eq!(attempt(&site_of_two, &numbered(&clients, 13)).await, None);
    assert_eq!(attempt(&site_of_two, &numbered(&clients, 14)).await, Some(200));
    let site_of_three = site(&clients.pem, &[&whole, &of_authorities, &of_clients]).await;
    assert_eq!(attempt(&site_of_three, &numbered(&clients, 14)).await, None);
}

#[tokio::test]
async fn a_list_speaks_for_the_authority_whose_key_signed_it_not_for_its_namesake() {
    let [before, after] = [Authority::named("Devices"), Authority::named("Devices")];
    let both = format!("{}{}", before.pem, after.pem);
    let (of_before, of_after) = (before.revoke(&[5], 2999), after.revoke_some(&[6], (2021, 2999), None));
    for lists in [[&*of_before, &*of_after], [&*of_after, &*of_before]] {
        let site = site(&both, &lists).await;
        for (authority, serial, status) in
            [(&before, 5, None), (&before, 6, Some(200)), (&after, 5, Some(200)), (&after, 6, None)]
        {
            assert_eq!(attempt(&site, &numbered(authority, serial)).await, status, "{serial}");
        }
        site.failed("certificate_revoked", 2.0).await;
    }
    // Nobody vouches for the clients of the other key.
    let site = site(&both, &[&of_before]).await;
    assert_eq!(attempt(&site, &numbered(&before, 6)).await, Some(200));
    assert_eq!(attempt(&site, &numbered(&after, 5)).await, None);
    site.failed("certificate_revoked", 1.0).await;
}

#[tokio::test]
async fn an_authority_is_one_from_its_first_day_to_its_last() {
    let [over, not_yet] = [Authority::valid("Devices", &[(2010, 2021)]), Authority::valid("Devices", &[(2990, 2999)])];
    let (good, root) = (Authority::new(), Authority::new());
    let [below, below_over] = [root.under("Below", (2010, 2999)), root.under("Below too", (2010, 2021))];
    let ca = [&over, &not_yet, &good, &root, &below, &below_over].map(|one| &*one.pem).concat();
    let site = site(&ca, &[]).await;
    for (expired, authority) in [&over, &not_yet, &below_over].into_iter().enumerate() {
        assert_eq!(attempt(&site, &numbered(authority, 7)).await, None);
        site.failed("certificate_expired", expired as f64 + 1.0).await;
    }
    for authority in [&good, &root, &below] {
        assert_eq!(attempt(&site, &numbered(authority, 7)).await, Some(200));
    }
    assert_eq!(attempt(&site, &numbered(&Authority::new(), 7)).await, None);
    site.failed("certificate_untrusted", 1.0).await;
}

#[tokio::test]
async fn every_certificate_on_the_way_to_an_authority_is_looked_at() {
    let root = Authority::new();
    let [below, over] = [root.under("Below", (2010, 2999)), root.under("Over", (2010, 2021))];
    let through = |authority: &Authority, serial| {
        let mut certified = numbered(authority, serial);
        certified.certificate.push_str(&authority.pem);
        certified
    };
    let of_root = root.revoke(&[], 2999);
    let newer_of_root = root.revoke_some(&[4], (2021, 2999), None);
    let of_below = below.revoke(&[13], 2999);
    for (lists, of_seven, of_thirteen, of_over) in [
        (&[][..], Some(200), Some(200), None),
        (&[&*of_root, &*of_below], Some(200), None, None),
        (&[&*of_root], None, None, None),
        (&[&*of_root, &*of_below, &*newer_of_root], None, None, None),
    ] {
        let site = site(&root.pem, lists).await;
        assert_eq!(attempt(&site, &through(&below, 7)).await, of_seven, "{}", lists.len());
        assert_eq!(attempt(&site, &through(&below, 13)).await, of_thirteen, "{}", lists.len());
        assert_eq!(attempt(&site, &through(&over, 7)).await, of_over, "{}", lists.len());
        site.failed("certificate_expired", 1.0).await;
        // Who does not show the way is unknown.
        assert_eq!(attempt(&site, &numbered(&below, 7)).await, None);
        site.failed("certificate_untrusted", 1.0).await;
    }
}

#[tokio::test]
async fn an_authority_whose_certificate_was_renewed_goes_on_beside_the_old_one() {
    for years in [[(2010, 2021), (2020, 2999)], [(2020, 2999), (2010, 2021)]] {
        let clients = Authority::valid("Devices", &years);
        let site = site(&clients.pem, &[&clients.revoke(&[13], 2999)]).await;
        assert_eq!(attempt(&site, &numbered(&clients, 7)).await, Some(200));
        assert_eq!(attempt(&site, &numbered(&clients, 13)).await, None);
        site.failed("certificate_revoked", 1.0).await;
    }
}
