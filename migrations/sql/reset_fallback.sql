-- The code of a password reset falls back to the user's other proven address. Both functions replace earlier ones.

-- Adds the fallback message, over the other channel, of a message whose fallback is due.
-- - A registration's code proves the address that receives it. So the fallback has its own token, which is a decoy if
--   the address is taken, as at a resend. It has the remaining attempts of the first and does not outlive it.
-- - A reset's code proves no address. So the fallback repeats it, and only to an address that the user has proven. With
--   one token, a confirmation takes the same statements whether or not a fallback was sent.
-- Locked rows are skipped and stay due: a resend locks user and messages in the other order.
-- delivery_reports.sql replaces it.
create or replace function signpost_fall_back(first_id uuid, second_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    message outbox_messages;
    holder users;
    token tokens;
    other record;
    is_taken boolean;
    next_template text;
begin
    select * into message from outbox_messages
     where id = first_id and fallback_at <= now() and status <> 'sent' for no key update skip locked;
    if not found then
        return false;
    end if;
    select * into holder from users where id = message.user_id for no key update skip locked;
    if not found and exists (select from users where id = message.user_id) then
        return false;
    end if;
    update outbox_messages set fallback_at = null where id = first_id;
    select * into token from tokens
     where id = message.token_id and used_at is null and expires_at > now() and attempts_left > 0;
    select * into other from (values
        ('email', holder.email, holder.email_canonical, holder.email_verified_at),
        ('sms', holder.phone, holder.phone, holder.phone_verified_at)) as each (channel, address, canonical, proven_at)
     where channel = message.fallback_channel;
    if token.id is null or other.address is null
       or not (message.status = 'pending' or message.dead_reason in ('rejected', 'exhausted'))
       or exists (select from outbox_messages as newer
                    join tokens as its on its.id = newer.token_id
                     and its.address_id is not distinct from token.address_id
                   where newer.user_id = message.user_id and newer.created_at > message.created_at) then
        return false;
    end if;
    case token.purpose
        when 'activation', 'decoy' then
            if holder.status = 'active' then
                return false;
            end if;
            is_taken := signpost_is_taken(message.fallback_channel, other.canonical);
            insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
            values (gen_random_uuid(), holder.id, case when is_taken then 'decoy' else 'activation' end,
                    message.fallback_channel, token.key_id, token.attempts_left,
                    least(token.expires_at, now() + message.fallback_lifetime))
            returning * into token;
            next_template := case when is_taken then 'account_exists' else 'activation' end;
        when 'password_reset' then
            if holder.status <> 'active' or other.proven_at is null then
                return false;
            end if;
            next_template := message.template;
    end case;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id,
                                 max_attempts, expires_at, traceparent, priority, fallback_of)
    values (second_id, next_template, message.fallback_channel, other.address, message.locale, message.payload,
            holder.id, token.id, message.max_attempts, token.expires_at, message.traceparent, message.priority,
            first_id);
    return true;
end
$$;

-- Allows as a message's new token only one for the same purpose and address. Otherwise the console's role could send a
-- password reset to an address that the user no longer has. The fallback of a reset has a token of the other channel,
-- and gets a new one only while its recipient is a proven address of the user.
create or replace function signpost_check_token() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    if new.token_id is not null and not exists (
        select from tokens as own
          join tokens as other on other.id = new.token_id and other.channel = own.channel
           and other.address_id is not distinct from own.address_id
           and other.new_address is not distinct from own.new_address
           and (other.purpose = own.purpose or own.address_id is null)
         where own.id = old.token_id and own.user_id = new.user_id and other.user_id = new.user_id
           and (own.channel = new.channel or own.purpose = 'password_reset' and exists (
               select from users
                where id = new.user_id and status = 'active' and case new.channel
                      when 'sms' then phone = new.recipient and phone_verified_at is not null
                      else lower(email collate "C") = lower(new.recipient collate "C")
                           and email_verified_at is not null end))) then
        raise exception 'a message may only get a token for the same purpose and address'
            using errcode = 'insufficient_privilege';
    end if;
    if exists (
        select from tokens
          join users on users.id = new.user_id
         where tokens.id = new.token_id and tokens.address_id is null
           and case new.channel when 'sms' then phone is distinct from new.recipient
               else lower(email collate "C") is distinct from lower(new.recipient collate "C") end) then
        raise exception 'a registration''s code may only go to its present address'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$;
