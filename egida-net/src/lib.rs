#![forbid(unsafe_code)]
//! Connections between the hosts of a job.
//!
//! ```text
//!   key        a secret of the job, known to its launcher and its daemons alone
//!   handshake  both ends of a connection prove that they know it, before either reads anything else
//!   framing    messages with length and checksum in a stream of bytes
//!   listener   a port that hands over connections of the job and closes all others
//! ```
//!
//! The handshake says who is at the other end, and that it was there when the connection was made. What goes over the
//! connection afterwards is neither encrypted nor signed: the network's links are trusted as those of other MPIs are, strangers
//! who can reach the port are not.
//!
//! It knows nothing of jobs, ranks or messages of the application.

pub mod framing;
pub mod handshake;
pub mod key;
pub mod listener;

pub use framing::{Broken, Framer};
pub use handshake::{HandshakeError, dial, meet};
pub use key::JobKey;
pub use listener::Listener;
