-- Triggers. The comments of their functions describe them.

create trigger tr_outbox_messages_recipient after update of recipient on outbox_messages
for each row when (old.recipient is distinct from new.recipient)
execute function signpost_check_recipient();

create trigger tr_outbox_messages_token after update of token_id on outbox_messages
for each row when (old.token_id is distinct from new.token_id)
execute function signpost_check_token();

create trigger tr_users_abandon_organization after delete on users
for each row when (old.organization_id is not null and old.activated_at is null)
execute function signpost_abandon_organization();
