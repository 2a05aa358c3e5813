\getenv postgres_password POSTGRES_PASSWORD
\getenv mlflow_password MLFLOW_PASSWORD
\getenv prefect_password PREFECT_PASSWORD
\getenv hub_password HUB_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', wanted) FROM unnest(ARRAY['mlflow', 'prefect', 'hub']) AS wanted
WHERE wanted NOT IN (SELECT rolname FROM pg_roles) \gexec

ALTER ROLE postgres PASSWORD :'postgres_password';
ALTER ROLE mlflow PASSWORD :'mlflow_password';
ALTER ROLE prefect PASSWORD :'prefect_password';
ALTER ROLE hub PASSWORD :'hub_password';

SELECT format('CREATE DATABASE %I OWNER %I', wanted, wanted) FROM unnest(ARRAY['mlflow', 'prefect', 'hub']) AS wanted
WHERE wanted NOT IN (SELECT datname FROM pg_database) \gexec

-- A user sees its own database only.
REVOKE ALL ON DATABASE mlflow, prefect, hub, postgres FROM PUBLIC;

\connect prefect
CREATE EXTENSION IF NOT EXISTS pg_trgm;
