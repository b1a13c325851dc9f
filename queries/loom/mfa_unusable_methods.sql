/*
description: Active MFA methods that lack what they verify with.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.user_mfa_methods]
metrics:
  loom_mfa_unusable_methods:
    type: gauge
    help: Active MFA methods without the secret, number, address or key that they need; nobody can log in with one.
    value: methods
    baseline: true
*/
-- Why: only two of the four types have a constraint, which may be lost besides. No flag tells.
SELECT count(*) AS methods
  FROM public.user_mfa_methods
 WHERE status = 'active'
   AND CASE method_type
           WHEN 'totp'     THEN secret_encrypted IS NULL OR secret_salt IS NULL
           WHEN 'sms'      THEN phone_number IS NULL
           WHEN 'email'    THEN email_address IS NULL
           WHEN 'webauthn' THEN credential_id IS NULL OR public_key IS NULL
       END;
