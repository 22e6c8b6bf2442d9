//! Made-up machines and what the doctor says of them.
