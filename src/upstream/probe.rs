//! Whether an application's server answers at all, for `lychgate doctor`.
//!
//! May touch: the network. Trust boundary: the server's answer, of which only the status is looked at.

use std::future::poll_fn;
use std::time::Duration;

use http::StatusCode;

use super::answer_head::HeadReader;
use super::sending::Sending;
use super::{RequestBody, Target, UpstreamError};
use crate::forward::BodyLength;

impl Target {
    /// Asks for `/` with HEAD, as `host`; any answer will do.
    pub async fn probe(&self, host: &str, limit: Duration) -> Result<StatusCode, UpstreamError> {
        let asked = async {
            let mut connection = self.open().await?;
            let head = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes();
            let mut sending = Sending::new(head, RequestBody::empty(), BodyLength::Nothing);
            // Whoever takes nothing may have answered all the same.
            let _ = poll_fn(|context| sending.poll(&mut connection.socket, context)).await;
            let mut reader = HeadReader::new(true);
            let answer = poll_fn(|context| reader.poll(&mut connection, context)).await;
            Ok(answer.map_err(|_| UpstreamError::Invalid)?.response.status())
        };
        tokio::time::timeout(limit, asked).await.map_err(|_| UpstreamError::ConnectTimeout)?
    }
}
