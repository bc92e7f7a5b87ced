//! This appliance's own state.
