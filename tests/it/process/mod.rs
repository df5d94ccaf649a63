//! rota as a process: the real binary with an environment of its own, in front of a fake upstream. Tests wait for what
//! the process writes, for its end, or for what the upstream recorded.
mod accounts;
mod admin;
mod antigravity;
mod bad_input;
mod cli;
mod connect;
mod crash;
mod described;
mod doors;
mod encryption;
mod force;
mod granted;
mod hardening;
mod import;
mod keys;
mod lifecycle;
mod limits;
mod login;
mod place;
mod renewal;
mod secrets;
mod serving;
mod sessions;
mod settings;
mod stopping;
mod talk;
