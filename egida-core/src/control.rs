//! Control messages: what protocols tell ranks beside the application's messages.

use serde::{Deserialize, Serialize};

use crate::clock::Token;

/// A control message to a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// A version of a rank has ended.
    Token(Token),
}
