-- An accident after the deployment: somebody tidies up, and takes an index for unused. From now on every question about
-- a person's living methods reads the forty thousand dead ones of everybody. Run by `postgres`.
DROP INDEX public.idx_user_mfa_methods_user_status;
