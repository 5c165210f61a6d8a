//! The application: answers every request at once with the same kilobyte, on a thread of its own.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

const BODY: usize = 1000;

/// Starts it; it ends with the program.
pub(crate) fn start() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    });
    Ok(address)
}

/// Requests come one after the other and have no body, so a head ends where what was read ends.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Wed, 25 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n\
         Content-Length: {BODY}\r\nLast-Modified: Wed, 25 Nov 2026 11:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6744-3e8\"\r\n\
         Accept-Ranges: bytes\r\n\r\n{}",
        "x".repeat(BODY)
    );
    let mut read = Vec::with_capacity(8192);
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}
