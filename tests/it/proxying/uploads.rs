//! Uploads that share a connection on HTTP/2, and applications that do not take them yet (D01).

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};

use super::front::{http2, request, secure};
use crate::harness::soon;
use crate::harness::wire::RawApplication;

/// As many as a browser or a person could have under way at once.
const UPLOADS: usize = 16;
/// More than the sockets on the way to the application take, and than one upload may let wait in the gateway.
const LENGTH: usize = 5 << 20;

#[tokio::test]
async fn d01_uploads_whose_application_takes_one_at_a_time_all_arrive() {
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), "[timeouts]\nbody_stall = \"2s\"\n").await;
    let mut sender = http2(&site, &authority).await;
    let data = Bytes::from(vec![b'x'; LENGTH]);
    let uploading: Vec<_> = (0..UPLOADS)
        .map(|_| {
            let body = Full::new(data.clone()).boxed();
            tokio::spawn(sender.send_request(request(Method::POST, "/public/x", &[]).body(body).unwrap()))
        })
        .collect();
    for number in 1..=UPLOADS {
        let mut upstream = soon(application.accept()).await;
        let seen = soon(upstream.request()).await.unwrap();
        assert_eq!(seen.body.len(), LENGTH, "upload {number}");
        upstream.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    }
    for upload in uploading {
        assert_eq!(soon(upload).await.unwrap().unwrap().status(), 200);
    }
}
