//! A simulated AirPlay 2 receiver over real sockets.
