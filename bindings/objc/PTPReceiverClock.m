/* PTPReceiverClock.m: the C interface behind Objective-C methods. */
#import "PTPReceiverClock.h"

#if !defined(__APPLE__) && !defined(GNUSTEP)
#include <objc/runtime.h>
#endif
#include <string.h>

@implementation PTPReceiverClock

+ (PTPReceiverClock *)clockWithReceiver:(const char *)address
                                 config:(const ptpbmca_config *)config
                                  error:(ptpbmca_error *)error
{
    ptpbmca_session *session = NULL;
    PTPReceiverClock *clock;
    if (ptpbmca_start(address, config, &session, error) != PTPBMCA_OK)
        return nil;
#if defined(__APPLE__) || defined(GNUSTEP)
    clock = [[self alloc] init];
#else
    clock = class_createInstance(self, 0);
#endif
    if (clock)
        clock->_session = session;
    else
        ptpbmca_stop(session);
    return clock;
}

- (ptpbmca_result)syncWithin:(double)seconds
{
    double ms = seconds * 1e3;
    return ptpbmca_await_sync(_session, ms < 0 ? 0 : ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX);
}

- (uint64_t)receiverNow
{
    uint64_t now = 0;
    return ptpbmca_receiver_now(_session, &now) == PTPBMCA_OK ? now : 0;
}

- (uint64_t)receiverTimeAt:(int64_t)localTime
{
    uint64_t there = 0;
    return ptpbmca_receiver_time(_session, localTime, &there) == PTPBMCA_OK ? there : 0;
}

- (ptpbmca_clock_offset)offset
{
    ptpbmca_clock_offset offset;
    memset(&offset, 0, sizeof offset);
    (void)ptpbmca_offset(_session, &offset);
    return offset;
}

- (ptpbmca_session *)session
{
    return _session;
}

- (ptpbmca_result)close
{
    ptpbmca_result result = ptpbmca_stop(_session);
    if (result == PTPBMCA_ERR_WOULD_DEADLOCK)
        return result;
    _session = NULL;
#if !defined(__APPLE__) && !defined(GNUSTEP)
    object_dispose(self);
#endif
    return result;
}

#if defined(__APPLE__) || defined(GNUSTEP)
- (void)dealloc
{
    (void)ptpbmca_stop(_session);
#if !__has_feature(objc_arc)
    [super dealloc];
#endif
}
#endif

@end
