//! The constants of the ABI, under the standard's names.
#![allow(missing_docs)]

use std::ffi::c_int;

use crate::handle::*;

include!(concat!(env!("OUT_DIR"), "/constants.rs"));
