-- role: authenticated
-- weight: 6
-- Somebody has logged in. No RETURNING: who may write to the log may not read it.
INSERT INTO public.security_audit_log (user_id, event_type, event_details, severity)
VALUES (auth.uid(), 'login_success', '{"source": "web"}', 'info');
