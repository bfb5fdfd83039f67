//! The constants of the ABI, under the standard's names.
#![allow(dead_code)] // the table has more of them than this library needs

use std::ffi::c_int;

use crate::handle::*;

include!(concat!(env!("OUT_DIR"), "/constants.rs"));
