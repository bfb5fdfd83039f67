//! An operation bound to a datatype.

use super::kernel::{self, Kernel};
use super::user::UserReduction;
use super::{Op, OpError, PredefinedOp};
use crate::datatype::Datatype;

/// Combines packed operands of one datatype. The two operands of a call must have the same length, a multiple of
/// [`Self::element_len`].
#[derive(Debug)]
pub struct Reduction(How);

#[derive(Debug)]
enum How {
    /// No data at all.
    Nothing,
    Kernel {
        kernel: Kernel,
        element_len: usize,
    },
    User(UserReduction),
}

impl Reduction {
    /// Binds an operation to the datatype of a collective reduction. Predefined operations also take derived datatypes
    /// made of one predefined datatype (the standard asks for less).
    ///
    /// # Errors
    /// The operation is not defined on the datatype.
    pub fn new(op: &Op, datatype: &Datatype) -> Result<Self, OpError> {
        let op = match op {
            Op::User(op) => return Ok(Self(How::User(UserReduction::new(*op, datatype)))),
            Op::Predefined(op) => *op,
        };
        if matches!(op, PredefinedOp::Replace | PredefinedOp::NoOp) {
            return Err(OpError::OneSidedOnly(op.name()));
        }
        let Some(basic) = datatype.uniform() else {
            let nothing = datatype.size() == 0;
            return if nothing { Ok(Self(How::Nothing)) } else { Err(OpError::Mixed(op.name())) };
        };
        let kernel =
            kernel::of(op, basic).ok_or(OpError::NotDefined { op: op.name(), datatype: basic.name })?;
        Ok(Self(How::Kernel { kernel, element_len: basic.size() }))
    }

    /// Bytes between which operands may be cut: a basic element for predefined operations, an element of the datatype for
    /// the application's.
    #[must_use]
    pub fn element_len(&self) -> usize {
        match &self.0 {
            How::Nothing => 1,
            How::Kernel { element_len, .. } => *element_len,
            How::User(user) => user.element_len().max(1),
        }
    }

    /// `left = left op right`
    pub fn combine_left(&mut self, left: &mut [u8], right: &[u8]) {
        match &mut self.0 {
            How::Nothing => (),
            How::Kernel { kernel, .. } => (kernel.into_left)(left, right),
            How::User(user) => user.combine_left(left, right),
        }
    }

    /// `right = left op right`
    pub fn combine_right(&mut self, left: &[u8], right: &mut [u8]) {
        match &mut self.0 {
            How::Nothing => (),
            How::Kernel { kernel, .. } => (kernel.into_right)(left, right),
            How::User(user) => user.combine_right(left, right),
        }
    }
}
