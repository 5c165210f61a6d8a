//! Free TCP ports on loopback.
//!
//! The measurement uses no fixed port, so that it runs beside whatever else the machine does. The system picks a port
//! for a listener that is closed at once; another program could take it in between, and then the start of the program
//! that wanted it fails with its own message.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::Result;

/// Asks the system for a port on 127.0.0.1 that nothing listens on.
pub(crate) fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Whether something accepts connections on a port of 127.0.0.1.
pub(crate) fn open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
