//! `orc run --executor`: the program runs in another process.

use super::super::args::TlsArgs;
use super::super::plan::Plan;
use super::super::signals::{self, Came};
use super::super::talk::Talk;
use super::{Failure, link_and_run, new_session, watch};
use dispatch::Connect;
use dispatch::transport::tls::{ClientTls, TlsIdentity, Token};
use orc_jit::diagnose::Report;
use orc_jit::executor::ExecutorError;
use orc_jit::executor::llvm::{self, LlvmExecutor};
use orc_jit::executor::remote::{Place, Reach, Remote, RemoteOptions, shares_terminal};
use orc_jit::{Session, Watchers};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a silent machine is asked whether it is there, and after how much silence it is given up.
const HEARTBEAT: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(120);

/// Runs the plan's program with the executor at `place`; gives its exit code.
pub(super) fn run(place: &Place, tls: &TlsArgs, plan: &Plan, talk: &Talk) -> Result<i32, Failure> {
    let same_group = matches!(place, Place::Spawn { .. }) && shares_terminal();
    let signals = Signals::new(same_group).map_err(|error| told(&error))?;
    let mut remote = RemoteOptions::default();
    remote.input = true;
    // perf takes pages of a file for that file, and looks into no map for them.
    remote.share_memory = !watch(plan).contains(Watchers::PERF_MAP);
    if let Place::Tcp { .. } = place {
        remote.heartbeat = Some((HEARTBEAT, SILENCE));
    }
    let place = prepared(place.clone(), tls)?;
    if let Place::Spawn { path: Some(path), .. } = &place
        && llvm::is_named_like(path)
    {
        return run_llvm(path, plan, talk);
    }
    let reach = Reach::new(&place, remote).map_err(|error| told(&error))?;
    talk.progress(1, &format!("connected to {}", reach.peer().name()));
    if !reach.is_ours() && reach.peer().setup().is_some_and(LlvmExecutor::is_spoken_by) {
        let executor = LlvmExecutor::over(reach.peer().clone()).map_err(|error| told(&error))?;
        return link_and_run(&new_session(executor, plan, talk)?, plan, talk);
    }
    let session = new_session(reach.into_remote().map_err(|error| told(&error))?, plan, talk)?;
    signals.send_to(&session);
    link_and_run(&session, plan, talk)
}

/// LLVM's executor expects to be started in its own way.
fn run_llvm(path: &Path, plan: &Plan, talk: &Talk) -> Result<i32, Failure> {
    let (transport, child) = llvm::spawn_with_pipes(path).map_err(|error| told(&error))?;
    let peer = Connect::controller().over(transport).map_err(|error| told(&error))?;
    let executor = LlvmExecutor::over(peer).and_then(|executor| executor.watching(child));
    link_and_run(&new_session(executor.map_err(|error| told(&error))?, plan, talk)?, plan, talk)
}

fn told(error: &dyn std::error::Error) -> Failure {
    Failure::Told(vec![Report::from_error(error)])
}

/// The place with what the command line says of it elsewhere.
fn prepared(place: Place, tls: &TlsArgs) -> Result<Place, Failure> {
    match place {
        // Without an executor beside orc, orc is one itself.
        Place::Spawn { path: None, arguments } => Ok(match std::env::current_exe() {
            Ok(own) if !own.with_file_name("orc-executor").exists() => {
                Place::Spawn { path: Some(own), arguments: vec!["executor".into()] }
            }
            _ => Place::Spawn { path: None, arguments },
        }),
        Place::Tcp { address, tls: None } if !tls.is_empty() => {
            let tls = client_tls(tls).map_err(|error| told(&error))?;
            Ok(Place::Tcp { address, tls: Some(tls) })
        }
        other => Ok(other),
    }
}

fn client_tls(args: &TlsArgs) -> Result<ClientTls, ExecutorError> {
    let wrong = |error: dispatch::transport::tls::TlsError| ExecutorError(error.to_string());
    let identity = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(TlsIdentity::from_pem_files(cert, key).map_err(wrong)?),
        _ => None,
    };
    let token = args.token_file.as_ref().map(Token::from_file).transpose().map_err(wrong)?;
    let ca = args.tls_ca.clone().unwrap_or_default();
    ClientTls::new(identity, ca, token).map_err(wrong)
}

/// Signals that reach orc are the program's, once there is one.
struct Signals(Arc<Mutex<Option<Session<Remote>>>>);

impl Signals {
    fn new(same_group: bool) -> std::io::Result<Self> {
        let session: Arc<Mutex<Option<Session<Remote>>>> = Arc::default();
        let known = session.clone();
        signals::pass_on(move |Came { signal, from_terminal }| {
            let session = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match session {
                // The terminal has sent it there, too.
                _ if same_group && from_terminal => {}
                // One that is gone has ended, which the main thread is about to tell.
                Some(session) => drop(session.executor().raise(signal)),
                None => signals::die_of(signal),
            }
        })?;
        Ok(Self(session))
    }

    fn send_to(&self, session: &Session<Remote>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
    }
}
