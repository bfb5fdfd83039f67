//! Named places where a test may let a rank die.

/// A place in the life of a rank where it can be told to crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// At its n-th send of a message, counted from 1, before anything of it is done.
    Send(u64),
    /// At its n-th delivery (match of a receive), counted from 1, after the match and before its determinant.
    Deliver(u64),
    /// At a failpoint.
    At(Failpoint),
}

macro_rules! failpoints {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $about:literal;)*) => {
        /// A failpoint: a place inside the library that can be named in `--kill RANK@point:NAME`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failpoint {
            $(#[doc = $about] $variant,)*
        }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Failpoint] = &[$(Failpoint::$variant,)*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Failpoint::$variant => $name,)* }
            }

            /// One line on where it is.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Failpoint::$variant => $about,)* }
            }

            /// Those that only a rank comes to whose images are taken.
            #[must_use]
            pub fn is_of_checkpoints(self) -> bool {
                self.name().starts_with("checkpoint.")
            }
        }
    };
}

failpoints! {
    Init = "init": "in MPI_Init, before the first message";
    ChannelReserved = "channel.reserved": "the record is written and not yet published";
    ChannelPublished = "channel.published": "the record is published, the receiver not yet woken";
    ChannelPiece = "channel.piece": "between two pieces of a large message";
    ChannelSegment = "channel.segment": "a segment is allocated and not yet linked";
    ChannelRead = "channel.read": "the piggyback of an arrival is processed, the cursor not yet advanced";
    ChannelPayload = "channel.payload": "between two pieces of a payload being read";
    Match = "match": "a receive is matched, its determinant not yet made";
    DeterminantCreated = "determinant.created": "a determinant is made and not yet in the journal";
    DeterminantLogged = "determinant.logged": "a determinant is in the journal";
    Observe = "observe": "an observation is answered and not yet logged";
    ReplayStart = "replay.start": "recovery information is loaded, nothing is replayed yet";
    ReplayMiddle = "replay.middle": "half of the recovered determinants are replayed";
    ReplayEnd = "replay.end": "the last recovered determinant is replayed";
    CheckpointBegin = "checkpoint.begin": "a checkpoint is about to be captured";
    CheckpointCaptured = "checkpoint.captured": "a checkpoint is captured and not yet on its way to stable storage";
    CheckpointSubmitted = "checkpoint.submitted": "a checkpoint is on its way to stable storage, nobody is told of it yet";
    CheckpointTold = "checkpoint.told": "others are told of the checkpoint, which may not be durable yet";
    CheckpointDurable = "checkpoint.durable": "the rank is told that its checkpoint is durable, nothing is released yet";
    FinalizeEnter = "finalize.enter": "at the entry of MPI_Finalize";
    FinalizeExit = "finalize.exit": "in MPI_Finalize, after its last message";
}

impl std::str::FromStr for Failpoint {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|point| point.name() == name).ok_or_else(|| {
            let nearest = Self::ALL
                .iter()
                .map(|point| point.name())
                .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
            format!("no failpoint is named `{name}`; the nearest is `{}`", nearest.unwrap_or_default())
        })
    }
}
