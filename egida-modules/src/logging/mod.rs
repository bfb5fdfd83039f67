//! Implementations of `LogEventDeterminant`, `LogEventInfo`, `HowToLog` and `WhereToLog`.

mod asynchronously;
mod determinant_log;
mod direct;
mod message_log;
mod synchronously;

pub use asynchronously::Asynchronously;
pub use determinant_log::DeterminantLog;
pub use direct::Direct;
pub use message_log::MessageLog;
pub use synchronously::Synchronously;
