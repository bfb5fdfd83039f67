//! In Rust, against the C interface: each round every rank reads from outside through Rust's standard library (clocks, the order in which
//! a hash map with a random seed is walked), passes what it has become to its neighbour, and reports to rank 0, which takes the reports
//! in the order in which they happen to come and tells each rank which match it was. All that differs between two runs is what was
//! read and in which order.
//!
//!     rust [rounds]

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::io::Write;
use std::mem::MaybeUninit;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// MPI's handles are as wide as pointers in the standard's binary interface.
type Handle = *const c_void;

#[repr(C)]
struct Status {
    source: c_int,
    tag: c_int,
    error: c_int,
    internal: [c_int; 5],
}

unsafe extern "C" {
    fn MPI_Init(argc: *mut c_int, argv: *mut c_void) -> c_int;
    fn MPI_Finalize() -> c_int;
    fn MPI_Abort(comm: Handle, code: c_int) -> c_int;
    fn MPI_Comm_rank(comm: Handle, rank: *mut c_int) -> c_int;
    fn MPI_Comm_size(comm: Handle, size: *mut c_int) -> c_int;
    fn MPI_Send(buffer: *const u64, count: c_int, of: Handle, to: c_int, tag: c_int, comm: Handle) -> c_int;
    fn MPI_Isend(
        buffer: *const u64,
        count: c_int,
        of: Handle,
        to: c_int,
        tag: c_int,
        comm: Handle,
        request: *mut Handle,
    ) -> c_int;
    fn MPI_Recv(
        buffer: *mut u64,
        count: c_int,
        of: Handle,
        from: c_int,
        tag: c_int,
        comm: Handle,
        status: *mut Status,
    ) -> c_int;
    fn MPI_Wait(request: *mut Handle, status: *mut Status) -> c_int;
    fn MPI_Allreduce(
        from: *const u64,
        to: *mut u64,
        count: c_int,
        of: Handle,
        operation: Handle,
        comm: Handle,
    ) -> c_int;
}

// Values of the standard's binary interface.
const WORLD: Handle = 0x101 as Handle;
const UINT64: Handle = 0x259 as Handle;
const BXOR: Handle = 0x2a as Handle;
const ANY_SOURCE: c_int = -1;

const TOLD: c_int = 1;
const DRAW: c_int = 2;

/// Each round has its reports: nobody gives two in one.
fn report_of(round: u64) -> c_int {
    10 + round as c_int
}

struct Rank {
    rank: c_int,
    size: c_int,
    began: Instant,
}

fn main() {
    // SAFETY: null pointers stand for no arguments.
    unsafe { MPI_Init(std::ptr::null_mut(), std::ptr::null_mut()) };
    let (mut rank, mut size) = (0, 0);
    // SAFETY: there is room for an integer each.
    unsafe {
        MPI_Comm_rank(WORLD, &raw mut rank);
        MPI_Comm_size(WORLD, &raw mut size);
    }
    let here = Rank { rank, size, began: Instant::now() };
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(60);
    here.run(rounds);
    // SAFETY: every message has been received.
    unsafe { MPI_Finalize() };
}

impl Rank {
    fn run(&self, rounds: u64) {
        let mut state = mix(0, self.rank as u64 + 1);
        let (mut matched, mut matches) = (state, 0);
        for round in 0..rounds {
            state = mix(state, self.read_outside(round));
            state = mix(state, self.pass_on(round, state));
            if self.rank != 0 {
                self.report(round, state);
            } else {
                for _ in 1..self.size {
                    matched = self.take_report(round, matched, matches);
                    matches += 1;
                }
            }
            if round % 10 == 9 {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
                self.say(&format!("clock now={now}"));
                let mut all = 0;
                // SAFETY: one integer each.
                unsafe { MPI_Allreduce(&raw const state, &raw mut all, 1, UINT64, BXOR, WORLD) };
                state = mix(state, all);
            }
        }
        self.say(&format!("result rust rounds={rounds}"));
    }

    /// A reading from outside; each round asks elsewhere.
    fn read_outside(&self, round: u64) -> u64 {
        match round % 3 {
            0 => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
            1 => self.began.elapsed().as_nanos() as u64,
            _ => {
                let map: HashMap<u64, u64> = (0..16).map(|key| (key, key * round)).collect();
                map.into_iter().fold(0, |order, (key, value)| mix(mix(order, key), value))
            }
        }
    }

    /// Sends the state to the right and returns the left's.
    fn pass_on(&self, round: u64, state: u64) -> u64 {
        let (right, left) = ((self.rank + 1) % self.size, (self.rank + self.size - 1) % self.size);
        self.say(&format!("gave to={right} seq={round} value={state:016x}"));
        let out = [round, state];
        let mut request = std::ptr::null();
        // SAFETY: the two words live until the wait.
        unsafe { MPI_Isend(out.as_ptr(), 2, UINT64, right, DRAW, WORLD, &raw mut request) };
        let (draw, _) = self.receive(left, DRAW);
        // SAFETY: the request was begun above; a null pointer asks for no status.
        unsafe { MPI_Wait(&raw mut request, std::ptr::null_mut()) };
        self.require(draw[0] == round, "the draw is of this round");
        self.say(&format!("got from={left} seq={round} value={:016x}", draw[1]));
        draw[1]
    }

    fn report(&self, round: u64, state: u64) {
        let tag = report_of(round);
        self.send(0, tag, [round, state]);
        let ([n, _], _) = self.receive(0, TOLD);
        self.say(&format!("told to=0 seq={round} tag={tag} value={state:016x} n={n}"));
    }

    fn take_report(&self, round: u64, state: u64, n: u64) -> u64 {
        let tag = report_of(round);
        let ([seq, value], from) = self.receive(ANY_SOURCE, tag);
        let state = [n, from as u64, seq, tag as u64, value].into_iter().fold(state, mix);
        self.say(&format!("match n={n} from={from} seq={seq} tag={tag} value={value:016x} state={state:016x}"));
        self.send(from, TOLD, [n, 0]);
        state
    }

    fn send(&self, to: c_int, tag: c_int, words: [u64; 2]) {
        // SAFETY: there are two words.
        unsafe { MPI_Send(words.as_ptr(), 2, UINT64, to, tag, WORLD) };
    }

    /// Two words and who sent them.
    fn receive(&self, from: c_int, tag: c_int) -> ([u64; 2], c_int) {
        let mut words = [0; 2];
        let mut status = MaybeUninit::<Status>::uninit();
        // SAFETY: there is room for two words and a status, which the call fills in.
        let status = unsafe {
            MPI_Recv(words.as_mut_ptr(), 2, UINT64, from, tag, WORLD, status.as_mut_ptr());
            status.assume_init()
        };
        self.require(status.tag == tag && (from == ANY_SOURCE || status.source == from), "the status fits");
        (words, status.source)
    }

    /// One line of standard output, in one write.
    fn say(&self, line: &str) {
        let line = format!("{}: {line}\n", self.rank);
        let written = std::io::stdout().write_all(line.as_bytes());
        self.require(written.is_ok(), "standard output takes a line");
    }

    fn require(&self, holds: bool, what: &str) {
        if !holds {
            eprintln!("{}: wrong: {what}", self.rank);
            // SAFETY: it does not return.
            unsafe { MPI_Abort(WORLD, 3) };
        }
    }
}

/// As in common.h.
fn mix(state: u64, value: u64) -> u64 {
    let state = (state ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state ^ (state >> 29)
}
