//! The parameters of reasons as values of one type, so that a reason can be taken apart and put
//! together without knowing which one it is.

use crate::compartment::{PullSwitchHalf, Status};
use crate::desired::RemoteCause;
use crate::ids::{CommandId, CommitId, CommitRef, LockHash};
use crate::op::Op;
use crate::time::Timestamp;

/// One parameter of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// It is not known, or does not apply.
    Nothing,
    /// How many.
    Number(u32),
    /// Whether.
    Flag(bool),
    /// A commit.
    Commit(CommitRef),
    /// A lock.
    Lock(LockHash),
    /// Why the remote cannot be read.
    Cause(RemoteCause),
    /// The status of a compartment.
    Status(Status),
    /// An operation.
    Op(Op),
    /// Half of a `pull-switch`.
    Half(PullSwitchHalf),
    /// A command.
    Command(CommandId),
    /// A moment.
    Moment(Timestamp),
}

/// What a field of a reason can be.
pub(super) trait Field: Sized {
    /// The value of this field.
    fn parameter(self) -> Parameter;
    /// A field with this value; `None` if it cannot have it.
    fn read(parameter: Parameter) -> Option<Self>;
}

macro_rules! fields {
    ($($type:ty => $kind:ident),* $(,)?) => { $(
        impl Field for $type {
            fn parameter(self) -> Parameter {
                Parameter::$kind(self)
            }

            fn read(parameter: Parameter) -> Option<Self> {
                if let Parameter::$kind(value) = parameter {
                    Some(value)
                } else {
                    None
                }
            }
        }
    )* };
}

fields! {
    u32 => Number,
    bool => Flag,
    CommitRef => Commit,
    LockHash => Lock,
    RemoteCause => Cause,
    Status => Status,
    Op => Op,
    PullSwitchHalf => Half,
    CommandId => Command,
    Timestamp => Moment,
}

impl Field for CommitId {
    fn parameter(self) -> Parameter {
        Parameter::Commit(self.into())
    }

    fn read(parameter: Parameter) -> Option<Self> {
        CommitRef::read(parameter)?.full()
    }
}

impl<T: Field> Field for Option<T> {
    fn parameter(self) -> Parameter {
        self.map_or(Parameter::Nothing, T::parameter)
    }

    fn read(parameter: Parameter) -> Option<Self> {
        if parameter == Parameter::Nothing {
            Some(None)
        } else {
            T::read(parameter).map(Some)
        }
    }
}
