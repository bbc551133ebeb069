//! Who may come in, and is what they say then safe? Asked of encrypted connections, and of the strangers that every listener meets.
#![cfg(feature = "tls")]

mod connections;
mod pki;
mod strangers;
