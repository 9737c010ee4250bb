//! What the commands tell their user: what they print, where it cannot be printed, and how they end.

mod bad_input;
mod endings;
mod hostile;
mod odd_values;
mod streams;
mod told;
