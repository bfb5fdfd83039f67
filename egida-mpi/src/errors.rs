//! What is raised where, and error handlers (MPI 5.0, section 9.3).

pub mod codes;

use std::borrow::Cow;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use egida_core::fault::Fault;

use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::handle::{
    Handle, MPI_Comm, MPI_Comm_errhandler_function, MPI_Errhandler, MPI_File, MPI_File_errhandler_function,
    MPI_Session, MPI_Session_errhandler_function, MPI_Win_errhandler_function, Table,
};
use crate::{end, file, session};

/// What an entry point returns.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a call did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// An error of the standard, for an error handler to judge.
    Raised(Raised),
    /// The end of the rank.
    Fatal(Fault),
}

/// An error of the standard.
#[derive(Debug)]
pub struct Raised {
    /// `MPI_ERR_...`
    pub class: c_int,
    /// What is wrong, in the caller's words.
    pub what: Cow<'static, str>,
    /// Where it is raised.
    pub on: Option<Place>,
}

/// Whose error handler judges an error.
#[derive(Debug, Clone)]
pub enum Place {
    /// A communicator's.
    Comm(Arc<Communicator>),
    /// A session's.
    Session(MPI_Session, Handler),
    /// A file's.
    File(MPI_File, Handler),
    /// That one, of an object that is not made yet.
    Handler(Handler),
    /// That of no object: of `MPI_COMM_SELF` where the application has set it, as the standard has it, and of `MPI_COMM_WORLD`
    /// otherwise, as it had it before MPI 4.
    Nowhere,
}

impl Place {
    fn handler(&self) -> Handler {
        match self {
            Self::Nowhere => self.comm().map_or(Handler::Fatal, |comm| comm.handler()),
            Self::Comm(comm) => comm.handler(),
            Self::Session(_, handler) | Self::File(_, handler) | Self::Handler(handler) => handler.clone(),
        }
    }

    /// Whether an error there ends the job.
    pub fn is_fatal(&self) -> bool {
        matches!(self.handler(), Handler::Fatal | Handler::Abort)
    }

    /// The communicator whose handler judges errors of no object.
    fn comm(&self) -> Option<Arc<Communicator>> {
        let own = comm::get(MPI_COMM_SELF).ok()?;
        match own.handler() {
            Handler::Fatal => comm::get(MPI_COMM_WORLD).ok(),
            _ => Some(own),
        }
    }

    /// How a message to a person says where.
    fn named(&self) -> String {
        match self {
            Self::Comm(comm) => format!(" on {}", comm.name()),
            Self::Session(..) => " on a session".to_owned(),
            Self::File(..) => " on a file".to_owned(),
            Self::Handler(_) => String::new(),
            Self::Nowhere => self.comm().map_or_else(String::new, |comm| format!(" on {}", comm.name())),
        }
    }

    /// The handle that a handler of the application's is given.
    fn handle_value(&self) -> usize {
        match self {
            Self::Comm(comm) => comm.handle.value(),
            Self::Session(session, _) => session.value(),
            Self::File(file, _) => file.value(),
            Self::Handler(_) => MPI_COMM_SELF.value(),
            Self::Nowhere => self.comm().map_or(MPI_COMM_SELF, |comm| comm.handle).value(),
        }
    }
}

impl Raised {
    /// Raises it there unless it was raised on an object.
    fn place(&mut self, place: Place) {
        if matches!(self.on, None | Some(Place::Nowhere)) {
            self.on = Some(place);
        }
    }
}

impl Failure {
    /// An error of that class.
    pub fn new(class: c_int, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Raised(Raised { class, what: what.into(), on: None })
    }

    /// The same, raised on `comm` unless it was raised on another one.
    #[must_use]
    pub fn on(mut self, comm: &Arc<Communicator>) -> Self {
        if let Self::Raised(raised) = &mut self {
            raised.on.get_or_insert_with(|| Place::Comm(comm.clone()));
        }
        self
    }

    /// The same, of no object, whatever the call is about.
    #[must_use]
    pub fn nowhere(mut self) -> Self {
        if let Self::Raised(raised) = &mut self {
            raised.on = Some(Place::Nowhere);
        }
        self
    }

    /// The same, raised on a session unless it was raised elsewhere.
    #[must_use]
    pub fn on_session(mut self, session: MPI_Session, handler: Handler) -> Self {
        if let Self::Raised(raised) = &mut self {
            raised.place(Place::Session(session, handler));
        }
        self
    }

    /// The same, raised on a file unless it was raised elsewhere.
    #[must_use]
    pub fn on_file(mut self, file: MPI_File, handler: Handler) -> Self {
        if let Self::Raised(raised) = &mut self {
            raised.place(Place::File(file, handler));
        }
        self
    }

    /// The same, for that handler to judge unless it was raised elsewhere.
    #[must_use]
    pub fn to(mut self, handler: Handler) -> Self {
        if let Self::Raised(raised) = &mut self {
            raised.place(Place::Handler(handler));
        }
        self
    }
}

impl From<std::convert::Infallible> for Failure {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fatal(fault)
    }
}

/// A function of the application that judges errors of a communicator, session or file: a handle and a code.
pub type UserHandler = unsafe extern "C" fn(*mut usize, *mut c_int, ...);

/// What to do with an error.
#[derive(Debug, Clone, Default)]
pub enum Handler {
    /// End the job.
    #[default]
    Fatal,
    /// End the processes of the communicator: the job, in this library.
    Abort,
    /// Return the class.
    Return,
    /// Ask the application.
    User(Arc<User>),
}

/// A handler of the application's.
#[derive(Debug)]
pub struct User {
    function: UserHandler,
    on: On,
    handle: MPI_Errhandler,
}

/// What a handler of the application's judges errors of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Comm,
    Session,
    File,
    Win,
}

/// Hands a failure to the error handler, and returns the class if it lets the call return.
pub fn raise(name: &str, failure: Failure) -> c_int {
    let raised = match failure {
        Failure::Fatal(fault) => end::for_fault(&fault),
        Failure::Raised(raised) => raised,
    };
    let on = raised.on.clone().unwrap_or(Place::Nowhere);
    match on.handler() {
        Handler::Return => {}
        Handler::User(user) => {
            let mut handle = on.handle_value();
            let mut class = raised.class;
            // SAFETY: the application gave the function for this; both arguments live through the call.
            unsafe { (user.function)(&raw mut handle, &raw mut class) };
            // The call returns what the handler makes of the code.
            return class;
        }
        Handler::Fatal | Handler::Abort => {
            let place = on.named();
            let text = codes::text(raised.class);
            end::with_message(&format!("{name}{place}: {text}: {}", raised.what), end::ERROR)
        }
    }
    raised.class
}

/// Handlers of the application's. One lives as long as its handle, or what it judges the errors of.
static HANDLERS: Mutex<Table<MPI_Errhandler, Held>> = Mutex::new(Table::new());

/// A handler, and how many times the application has its handle: once since it was made, once for each time it was asked for.
#[derive(Debug)]
struct Held {
    handler: Weak<User>,
    times: usize,
    kept: Option<Arc<User>>,
}

fn lock() -> std::sync::MutexGuard<'static, Table<MPI_Errhandler, Held>> {
    HANDLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The handler of a handle.
pub fn handler_of(handle: MPI_Errhandler) -> Outcome<Handler> {
    let none = || Failure::new(MPI_ERR_ERRHANDLER, "the error handler is not one, is null, or was freed");
    match handle {
        MPI_ERRORS_ARE_FATAL => Ok(Handler::Fatal),
        MPI_ERRORS_ABORT => Ok(Handler::Abort),
        MPI_ERRORS_RETURN => Ok(Handler::Return),
        dynamic => lock().get(dynamic).and_then(|held| held.kept.clone()).map(Handler::User).ok_or_else(none),
    }
}

fn create(on: On, function: Option<UserHandler>, errhandler: *mut MPI_Errhandler) -> Outcome {
    let function =
        function.ok_or_else(|| Failure::new(MPI_ERR_ARG, "the error handler is a null pointer"))?;
    let handle = lock().insert_with(|handle| {
        let user = Arc::new(User { function, on, handle });
        Held { handler: Arc::downgrade(&user), times: 1, kept: Some(user) }
    });
    // SAFETY: the caller gives room for a handle.
    unsafe { errhandler.write(handle) };
    Ok(())
}

/// The handler of a handle, to be set on an object of that kind.
fn handler_for(on: On, handle: MPI_Errhandler) -> Outcome<Handler> {
    match handler_of(handle)? {
        Handler::User(user) if user.on != on => {
            Err(Failure::new(MPI_ERR_ERRHANDLER, "the error handler is one of another kind of object"))
        }
        handler => Ok(handler),
    }
}

/// The handle of a handler, which the application has once more from now on.
fn handle_of(handler: &Handler) -> MPI_Errhandler {
    match handler {
        Handler::Fatal => MPI_ERRORS_ARE_FATAL,
        Handler::Abort => MPI_ERRORS_ABORT,
        Handler::Return => MPI_ERRORS_RETURN,
        Handler::User(user) => {
            let mut handlers = lock();
            if let Some(held) = handlers.get_mut(user.handle)
                && held.handler.ptr_eq(&Arc::downgrade(user))
            {
                held.times += 1;
                held.kept.get_or_insert_with(|| user.clone());
            }
            user.handle
        }
    }
}

/// `MPI_Comm_create_errhandler`
pub unsafe fn comm_create_errhandler(
    function: MPI_Comm_errhandler_function,
    errhandler: *mut MPI_Errhandler,
) -> Outcome {
    create(On::Comm, function, errhandler)
}

/// `MPI_Session_create_errhandler`
pub unsafe fn session_create_errhandler(
    function: MPI_Session_errhandler_function,
    errhandler: *mut MPI_Errhandler,
) -> Outcome {
    create(On::Session, function, errhandler)
}

/// `MPI_File_create_errhandler`
pub unsafe fn file_create_errhandler(
    function: MPI_File_errhandler_function,
    errhandler: *mut MPI_Errhandler,
) -> Outcome {
    create(On::File, function, errhandler)
}

/// `MPI_Win_create_errhandler`
pub unsafe fn win_create_errhandler(
    function: MPI_Win_errhandler_function,
    errhandler: *mut MPI_Errhandler,
) -> Outcome {
    create(On::Win, function, errhandler)
}

/// `MPI_Comm_set_errhandler`
pub unsafe fn comm_set_errhandler(comm: MPI_Comm, errhandler: MPI_Errhandler) -> Outcome {
    let handler = handler_for(On::Comm, errhandler);
    let handler =
        handler.map_err(|failure| comm::get(comm).map_or_else(|none| none, |comm| failure.on(&comm)))?;
    comm::set_handler(comm, handler)
}

/// `MPI_Comm_get_errhandler`
pub unsafe fn comm_get_errhandler(comm: MPI_Comm, errhandler: *mut MPI_Errhandler) -> Outcome {
    let handle = handle_of(&comm::handler(comm)?);
    // SAFETY: the caller gives room for a handle.
    unsafe { errhandler.write(handle) };
    Ok(())
}

/// `MPI_Comm_call_errhandler`
pub unsafe fn comm_call_errhandler(comm: MPI_Comm, errorcode: c_int) -> Outcome {
    let comm = comm::get(comm)?;
    called(&Place::Comm(comm), errorcode)
}

/// Calls a handler for an error of the application's own; the call itself succeeds.
fn called(place: &Place, errorcode: c_int) -> Outcome {
    match place.handler() {
        Handler::Return => Ok(()),
        Handler::User(user) => {
            let (mut handle, mut code) = (place.handle_value(), errorcode);
            // SAFETY: the application gave the function for this; both arguments live through the call.
            unsafe { (user.function)(&raw mut handle, &raw mut code) };
            Ok(())
        }
        Handler::Fatal | Handler::Abort => {
            let failure = Failure::new(errorcode, "the application called the error handler");
            Err(match place {
                Place::Comm(comm) => failure.on(comm),
                Place::Session(session, handler) => failure.on_session(*session, handler.clone()),
                Place::File(file, handler) => failure.on_file(*file, handler.clone()),
                Place::Handler(handler) => failure.to(handler.clone()),
                Place::Nowhere => failure,
            })
        }
    }
}

/// `MPI_Session_set_errhandler`
pub unsafe fn session_set_errhandler(session: MPI_Session, errhandler: MPI_Errhandler) -> Outcome {
    let handler = handler_for(On::Session, errhandler)?;
    session::set_handler(session, handler)
}

/// `MPI_Session_get_errhandler`
pub unsafe fn session_get_errhandler(session: MPI_Session, errhandler: *mut MPI_Errhandler) -> Outcome {
    let handle = handle_of(&session::handler(session)?);
    // SAFETY: the caller gives room for a handle.
    unsafe { errhandler.write(handle) };
    Ok(())
}

/// `MPI_Session_call_errhandler`
pub unsafe fn session_call_errhandler(session: MPI_Session, errorcode: c_int) -> Outcome {
    called(&Place::Session(session, session::handler(session)?), errorcode)
}

/// `MPI_File_set_errhandler`
pub unsafe fn file_set_errhandler(file: MPI_File, errhandler: MPI_Errhandler) -> Outcome {
    file::set_handler(file, handler_for(On::File, errhandler)?)
}

/// `MPI_File_get_errhandler`
pub unsafe fn file_get_errhandler(file: MPI_File, errhandler: *mut MPI_Errhandler) -> Outcome {
    let handle = handle_of(&file::handler(file)?);
    // SAFETY: the caller gives room for a handle.
    unsafe { errhandler.write(handle) };
    Ok(())
}

/// `MPI_File_call_errhandler`
pub unsafe fn file_call_errhandler(file: MPI_File, errorcode: c_int) -> Outcome {
    called(&file::call_errhandler_place(file)?, errorcode)
}

/// `MPI_Errhandler_free`
pub unsafe fn errhandler_free(errhandler: *mut MPI_Errhandler) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *errhandler };
    handler_of(*handle)?;
    let mut handlers = lock();
    if let Some(held) = handlers.get_mut(*handle) {
        held.times -= 1;
        if held.times == 0 {
            held.kept = None;
        }
        if held.handler.strong_count() == 0 {
            handlers.remove(*handle);
        }
    }
    *handle = MPI_ERRHANDLER_NULL;
    Ok(())
}
