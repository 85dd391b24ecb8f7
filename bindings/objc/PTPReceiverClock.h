/* PTPReceiverClock.h: a receiver's clock for Objective-C. With Foundation an NSObject, under ARC or not; else on the bare
   runtime. */
#ifndef PTP_RECEIVER_CLOCK_H
#define PTP_RECEIVER_CLOCK_H

#include <ptpbmca.h>

#if defined(__APPLE__) || defined(GNUSTEP)
#import <Foundation/Foundation.h>
#define PTP_ROOT NSObject
#else
#include <objc/Object.h>
#define PTP_ROOT Object
#endif

#ifdef __clang__
#pragma clang assume_nonnull begin
#define PTP_NULLABLE _Nullable
#else
#define PTP_NULLABLE
#endif

/* The clock of one receiver. Conversions are thread-safe and realtime-safe as those of C are, apart from the message
   send itself, which takes a lock the first time a method is called: an audio thread takes `session` and calls C. */
@interface PTPReceiverClock : PTP_ROOT {
    ptpbmca_session *PTP_NULLABLE _session;
}

/* Starts a session with the receiver at `address`, as ptpbmca_start() does; `config` and `error` may be NULL. nil if
   that failed. The caller ends it with -close. */
+ (PTPReceiverClock *PTP_NULLABLE)clockWithReceiver:(const char *)address
                                             config:(const ptpbmca_config *PTP_NULLABLE)config
                                              error:(ptpbmca_error *PTP_NULLABLE)error;

/* Waits until the receiver's time is known, at most `seconds`. Blocks: not for the main thread. */
- (ptpbmca_result)syncWithin:(double)seconds;

/* What the receiver's clock reads now, in ns; 0 while not synchronised. */
- (uint64_t)receiverNow;

/* A local time, in ns of the config's local clock, on the receiver's timeline in ns; 0 while not synchronised. */
- (uint64_t)receiverTimeAt:(int64_t)localTime;

/* One consistent snapshot of the clock; all zero after -close. */
- (ptpbmca_clock_offset)offset;

/* The session for calls of C; NULL after -close. A copy kept beyond that is harmless: calls say
   PTPBMCA_ERR_NO_SESSION. */
- (ptpbmca_session *PTP_NULLABLE)session;

/* Ends the session: no callback runs afterwards. Not from a callback. On the bare runtime, frees the object too. */
- (ptpbmca_result)close;

@end

#ifdef __clang__
#pragma clang assume_nonnull end
#endif
#undef PTP_NULLABLE
#undef PTP_ROOT

#endif
