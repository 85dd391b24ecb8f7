/* use: imports the module as Swift does, and calls what may be given NULL. With MISTAKE, also what may not. */
@import CPtpbmca;

int use(void);
int use(void)
{
    ptpbmca_session *session = (void *)0;
    ptpbmca_session_status status = {.advice = (void *)0};
    ptpbmca_config config = {.local_address = (void *)0, .on_event = (void *)0, .user_data = (void *)0};
    int result = ptpbmca_start("10.0.0.7", (void *)0, &session, (void *)0);
    result += ptpbmca_offset((void *)0, &status.clock) + ptpbmca_stop((void *)0);
    result += ptpbmca_set_log_callback((void *)0, (void *)0, PTPBMCA_LOG_OFF);
#ifdef MISTAKE
    result += ptpbmca_offset(session, (void *)0);
#endif
    return result + ptpbmca_config_init(&config, sizeof config);
}
