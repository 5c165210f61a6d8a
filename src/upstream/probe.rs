//! Whether an application's server answers at all, for `lychgate doctor`.
//!
//! May touch: the network. Trust boundary: the server's answer, of which only the status is looked at.

use std::time::Duration;

use http::header::HOST;
use http::{Method, Request, StatusCode};

use super::{RequestBody, Target, UpstreamError};

impl Target {
    /// Asks for `/` with HEAD, as `host`; any answer will do.
    pub async fn probe(&self, host: &str, limit: Duration) -> Result<StatusCode, UpstreamError> {
        let asked = async {
            let (mut sender, _) = self.open().await?;
            let request = Request::builder().method(Method::HEAD).uri("/").header(HOST, host);
            let request = request.body(RequestBody::empty()).map_err(|_| UpstreamError::Invalid)?;
            let answer = sender.send_request(request).await.map_err(|_| UpstreamError::Invalid)?;
            Ok(answer.status())
        };
        tokio::time::timeout(limit, asked).await.map_err(|_| UpstreamError::ConnectTimeout)?
    }
}
