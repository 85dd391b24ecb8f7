// ReceiverClock.swift: a receiver's clock for Swift. An actor starts, waits and stops; a Sendable reader tells the time
// on any thread, the audio thread included.
import CPtpbmca

/// Why a call failed.
public struct PTPFailure: Error, CustomStringConvertible {
    /// One of the PTPBMCA_ERR_ constants.
    public let result: PTPResult
    /// What failed and what to do about it.
    public let description: String

    init(_ result: PTPResult, _ description: String? = nil) {
        self.result = result
        self.description = description ?? String(cString: ptpResultMessage(result))
    }
}

/// Tells the time of a session that a `ReceiverClock` owns. May outlive it: every call then says nil.
/// Thread-safe, realtime-safe: no lock, no allocation, no waiting.
public struct ReceiverTimeReader: @unchecked Sendable {
    // A token, never the address of anything: sharing it is safe.
    let session: OpaquePointer?

    /// What the receiver's clock reads now, in ns; nil while not synchronised.
    public var now: UInt64? {
        var ns: UInt64 = 0
        return ptpReceiverNow(session, into: &ns) == PTPBMCA_OK ? ns : nil
    }

    /// The local time `local`, in ns of the config's local clock, on the receiver's timeline, in ns; nil while not
    /// synchronised.
    public func receiverTime(local: Int64) -> UInt64? {
        var ns: UInt64 = 0
        return ptpReceiverTime(session, local: local, into: &ns) == PTPBMCA_OK ? ns : nil
    }

    /// An anchor for the local time `local` in ns; nil while not synchronised.
    public func anchor(local: Int64) -> PTPAnchorTime? {
        var anchor = PTPAnchorTime()
        return ptpAnchor(session, local: local, into: &anchor) == PTPBMCA_OK ? anchor : nil
    }

    /// What the local clock reads now, in ns; nil after the session.
    public var localNow: Int64? {
        var ns: Int64 = 0
        return ptpLocalNow(session, into: &ns) == PTPBMCA_OK ? ns : nil
    }

    /// One consistent snapshot of the clock; nil after the session.
    public var offset: PTPClockOffset? {
        var offset = PTPClockOffset()
        return ptpOffset(session, into: &offset) == PTPBMCA_OK ? offset : nil
    }
}

/// The clock of one receiver.
///
///     let clock = try ReceiverClock(receiver: "10.0.0.7")
///     try await clock.sync()
///     let reader = clock.reader  // for the audio thread
public actor ReceiverClock {
    /// Tells the time, from any thread.
    public nonisolated let reader: ReceiverTimeReader

    /// Starts a session with the receiver at an IPv4 or IPv6 address; several of one receiver are separated by commas.
    /// Does not wait. `configure` changes the defaults; its pointers have to hold during this call only, except on_event
    /// and user_data.
    public init(receiver: String, configure: (inout PTPConfig) -> Void = { _ in }) throws {
        var config = PTPConfig()
        var result = ptpConfigInit(&config, size: UInt32(MemoryLayout<PTPConfig>.size))
        guard result == PTPBMCA_OK else { throw PTPFailure(result) }
        config.ready_timeout_ms = 0
        configure(&config)
        var session: OpaquePointer?
        var error = PTPError()
        result = ptpStart(receiver, config: &config, session: &session, error: &error)
        guard result == PTPBMCA_OK else {
            let message = withUnsafeBytes(of: error.message) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw PTPFailure(result, message)
        }
        reader = ReceiverTimeReader(session: session)
    }

    deinit {
        _ = ptpStop(reader.session)
    }

    /// Waits until the receiver's time is known, at most `timeout` seconds, a day at most. Cancellation ends the wait. No
    /// thread is blocked meanwhile: it looks a hundred times in a second.
    public func sync(timeout: Double = 10) async throws {
        let pause: UInt64 = 10_000_000
        for _ in 0...Int(min(max(0, timeout), 86_400) * 100) {
            guard let offset = reader.offset else { throw PTPFailure(PTPBMCA_ERR_NO_SESSION) }
            if offset.synchronized != 0 { return }
            try await Task.sleep(nanoseconds: pause)
        }
        throw PTPFailure(PTPBMCA_ERR_TIMEOUT)
    }

    /// Everything about the session, for people and logs.
    public func status() throws -> PTPSessionStatus {
        var status = PTPSessionStatus()
        let result = ptpStatus(reader.session, into: &status)
        guard result == PTPBMCA_OK else { throw PTPFailure(result) }
        return status
    }

    /// Ends the session: no callback runs afterwards. Not from a callback. Happens by itself with the last reference.
    public func stop() throws {
        let result = ptpStop(reader.session)
        guard result == PTPBMCA_OK || result == PTPBMCA_ERR_NO_SESSION else { throw PTPFailure(result) }
    }
}
