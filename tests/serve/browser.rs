//! What a person sees of the page, in a real browser.

mod driver;
mod frames;
mod seen;
