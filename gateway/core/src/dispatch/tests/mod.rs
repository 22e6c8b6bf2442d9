//! The protocol between shards, in worlds small enough to try everything, and in long walks.

mod bounds;
mod explore;
mod hub;
mod office;
mod random;
mod reference;
mod rest;
mod scenarios;
mod stories;
mod world;
